//! Every collection of every OpenAPI page, page by page.

use serde_json::{Value, json};
use tovar::client::Client;

use crate::harness::{Catalogue, MustSucceed, Store, operations, wait_for_status};

/// The caller who sees the collection, and its address.
struct Collection<'a> {
    path: String,
    reader: &'a Client,
}

struct People {
    customer: Client,
    /// The customer's address and password.
    log_in: (String, String),
    courier: Client,
}

/// Adds one more to each collection.
async fn add(store: &Store, catalogue: &Catalogue, people: &People, number: u32) {
    let manager = &store.manager;
    let put = async |path: String, body: Value| manager.ok_put(&path, &body).await;
    put(
        format!("/api/goods/kind-{number}"),
        json!({ "name": "Some", "price": 1 }),
    )
    .await;
    put(
        format!("/api/zones/zone-{number}"),
        json!({ "handover": "locker" }),
    )
    .await;
    Catalogue::add_slot(manager, catalogue.zone, 10).await;
    manager
        .ok_post("/api/goods/tea/receipts", &json!({ "quantity": 1 }))
        .await;
    let order = catalogue.place(&people.customer, &catalogue.order(1)).await;
    wait_for_status(&people.customer, &order, &["shipped"]).await;
    let (email, password) = &people.log_in;
    store.guest.log_in(email, password).await.unwrap();
}

fn collection<'a>(
    path: &str,
    store: &'a Store,
    catalogue: &Catalogue,
    people: &'a People,
) -> Collection<'a> {
    let reader = match path {
        "/api/account/entries" | "/api/orders" | "/api/notifications" | "/api/sessions" => {
            &people.customer
        }
        "/api/deliveries" => &people.courier,
        "/api/goods/{sku}/movements" => &store.manager,
        "/api/goods" | "/api/zones" | "/api/zones/{zone}/slots" => &store.guest,
        _ => panic!("{path}: say here who reads it, and add to it above"),
    };
    let path = path
        .replace("{sku}", catalogue.sku)
        .replace("{zone}", catalogue.zone);
    Collection { path, reader }
}

impl Collection<'_> {
    /// A page's items and the cursor of the next.
    async fn page(&self, limit: u32, cursor: Option<&str>) -> (Vec<Value>, Option<String>) {
        let cursor = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
        let path = format!("{}?limit={limit}{cursor}", self.path);
        let page = self.reader.ok_get(&path).await;
        let items = page["items"].as_array().unwrap().clone();
        (
            items.into_iter().map(|item| name(&item)).collect(),
            page["next"].as_str().map(ToOwned::to_owned),
        )
    }
}

/// The part of an item that stays the same.
fn name(item: &Value) -> Value {
    let names = ["id", "sku", "order_id", "zone"].into_iter();
    names
        .map(|name| item[name].clone())
        .find(|name| !name.is_null())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_collection_is_read_page_by_page_while_it_grows() {
    let store = Store::start().await;
    let catalogue = Catalogue::open_with_couriers(&store, 100, 100).await;
    let (email, password, _) = store.guest.register("A customer").await.unwrap();
    let customer = store.guest.customer(&email, &password, 100_000);
    let people = People {
        customer: customer.await.unwrap(),
        log_in: (email, password),
        courier: store.new_user("courier").await,
    };
    for number in 0..4 {
        add(&store, &catalogue, &people, number).await;
    }
    let operations = operations(&store).await;
    let paged: Vec<_> = operations
        .iter()
        .filter(|operation| operation.is_paged)
        .collect();
    assert!(paged.len() >= 9, "{paged:?}");
    let collections = paged
        .iter()
        .map(|operation| collection(&operation.path, &store, &catalogue, &people));
    let collections: Vec<_> = collections.collect();
    let mut walks = Vec::new();
    for collection in &collections {
        let (all, end) = collection.page(100, None).await;
        assert!(
            all.len() >= 4 && end.is_none(),
            "{}: {all:?}",
            collection.path
        );
        let (first, next) = collection.page(2, None).await;
        assert_eq!(first, all[..2], "{}", collection.path);
        walks.push((all, first, next));
    }
    add(&store, &catalogue, &people, 4).await;
    for (collection, (all, mut seen, mut next)) in collections.iter().zip(walks) {
        while let Some(cursor) = next {
            let (items, after) = collection.page(2, Some(&cursor)).await;
            assert!((1..=2).contains(&items.len()), "{}", collection.path);
            seen.extend(items);
            next = after;
        }
        // New items may be shown or not; each old item is shown once.
        let old: Vec<_> = seen
            .iter()
            .filter(|item| all.contains(item))
            .cloned()
            .collect();
        assert_eq!(old, all, "{}", collection.path);
    }
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_their_status() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 1, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    for wanted in ["delivered", "rejected", "rejected"] {
        assert_eq!(
            catalogue.buy(&customer, &catalogue.order(1)).await["status"],
            wanted
        );
    }
    for (status, count) in [("delivered", 1), ("rejected", 2), ("cancelled", 0)] {
        let found = customer
            .ok_get(&format!("/api/orders?status={status}"))
            .await;
        let found = found["items"].as_array().unwrap();
        assert!(
            found.iter().all(|order| order["status"] == status),
            "{found:?}"
        );
        assert_eq!(found.len(), count, "{status}");
    }
    store.stop().await;
}

/// Otherwise the database would read all orders of a user who has very many, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn orders_of_one_status_are_found_without_a_look_at_the_others() {
    const MANY: i64 = 20_000;
    // The queries for metrics read whole tables.
    let store = Store::start_with(&[("orders", &["--readings-every=60000"])]).await;
    let customer = store.guest.new_customer(0).await.unwrap();
    let me = customer.ok_get("/api/users/me").await;
    let sql = store.sql("orders").await;
    let add = async |user: &str, status: &str, count: i64| {
        let orders = format!(
            "INSERT INTO orders (id, user_id, idempotency_key, zone, slot_id, currency, total, \
             status, placed_at)
             SELECT gen_random_uuid(), {user}, number, 'lockers', gen_random_uuid(), 'EUR', 1, \
             '{status}', now()
             FROM generate_series(1, {count}) number; ANALYZE orders"
        );
        sql.batch_execute(&orders).await.unwrap();
    };
    let me = format!("'{}'", me["id"].as_str().unwrap());
    add(&me, "delivered", MANY).await;
    for status in ["delivered", "rejected", "cancelled", "refunded"] {
        add("gen_random_uuid()", status, 500).await;
    }
    let fetched = async || -> i64 {
        let rows = sql
            .query_one(
                "SELECT sum(idx_tup_fetch + seq_tup_read)::bigint FROM pg_stat_user_tables \
                WHERE relname = 'orders'",
                &[],
            )
            .await
            .unwrap();
        rows.get(0)
    };
    // The statistics of other sessions come a moment later.
    let settle = async || tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    settle().await;
    let before = fetched().await;
    for status in ["placed", "held", "cancelled"] {
        let found = customer
            .ok_get(&format!("/api/orders?status={status}"))
            .await;
        assert_eq!(found["items"].as_array().unwrap().len(), 0);
    }
    settle().await;
    let rows = fetched().await - before;
    assert!(rows < MANY / 10, "{rows} rows were looked at");
    store.end().await;
}
