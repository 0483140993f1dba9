//! An event that an operator replays when newer ones of its key were applied: nothing goes back to
//! what it was.

use serde_json::json;
use tovar::{client::wait_for, operations};
use uuid::Uuid;

use crate::harness::{Catalogue, MustSucceed, Store, WITHIN, service};

/// Makes the changes of a table fail, like a defect.
async fn fail(store: &Store, service: &str, table: &str) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a \
         defect'; END $$;
         CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION \
         fail()"
    );
    store.sql(service).await.batch_execute(&sql).await.unwrap();
}

/// Waits until the service retries an event of this key, has it discarded, and repairs the
/// table.
async fn give_up(store: &Store, name: &str, table: &str, key: &str) -> Uuid {
    let sql = store.sql(name).await;
    let mut blocked = None;
    wait_for("the partition to wait", WITHIN, async || {
        let row = sql
            .query_opt("SELECT event_id FROM inbox_blocked WHERE key = $1", &[&key])
            .await?;
        blocked = row.map(|row| row.get(0));
        Ok(blocked.is_some())
    })
    .await
    .unwrap();
    let event = blocked.unwrap();
    let db = operations::inbox::open(&store.databases[name].owner)
        .await
        .unwrap();
    operations::inbox::park(&db, service(name), event, "ada")
        .await
        .unwrap();
    until_parked_as(store, name, event, "parked").await;
    operations::inbox::discard(&db, service(name), event, "ada")
        .await
        .unwrap();
    let repair = format!("DROP TRIGGER fail ON {table}");
    sql.batch_execute(&repair).await.unwrap();
    event
}

async fn replay(store: &Store, name: &str, event: Uuid) {
    let db = operations::inbox::open(&store.databases[name].owner)
        .await
        .unwrap();
    operations::inbox::replay(&db, service(name), event, "ada")
        .await
        .unwrap();
    until_parked_as(store, name, event, "applied").await;
}

async fn until_parked_as(store: &Store, name: &str, event: Uuid, state: &str) {
    let sql = store.sql(name).await;
    wait_for(&format!("the event to be {state}"), WITHIN, async || {
        let row = sql
            .query_opt(
                "SELECT state FROM inbox_parked WHERE event_id = $1",
                &[&event],
            )
            .await?;
        Ok(row.is_some_and(|row| row.get::<_, String>(0) == state))
    })
    .await
    .unwrap();
}

async fn list(store: &Store, price: i64) {
    let goods = json!({ "name": "Tea", "price": price });
    store.manager.ok_put("/api/goods/tea", &goods).await;
}

async fn until_copied(store: &Store, price: i64) {
    let orders = store.sql("orders").await;
    wait_for(
        &format!("orders to know the price {price}"),
        WITHIN,
        async || {
            let row = orders
                .query_one("SELECT price FROM goods WHERE sku = 'tea'", &[])
                .await?;
            Ok(row.get::<_, i64>(0) == price)
        },
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_never_goes_back() {
    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 5).await;
    list(&store, 100).await;
    until_copied(&store, 100).await;
    fail(&store, "orders", "goods").await;
    list(&store, 200).await;
    let overtaken = give_up(&store, "orders", "goods", "tea").await;
    list(&store, 300).await;
    until_copied(&store, 300).await;
    replay(&store, "orders", overtaken).await;
    let customer = store.guest.new_customer(1_000).await.unwrap();
    let order = catalogue.buy(&customer, &catalogue.order(1)).await;
    assert_eq!(order["total"], 300, "{order:#}");

    // A warehouse of the release before says no version.
    let publish = "SELECT outbox_publish($1, 'warehouse', 'tea', 'warehouse.goods_listed.v1',
                   '{\"sku\":\"tea\",\"name\":\"Tea\",\"price\":400,\"currency\":\"EUR\"}', NULL, \
                   3, 2)";
    let warehouse = store.sql("warehouse").await;
    warehouse
        .execute(publish, &[&Uuid::now_v7()])
        .await
        .unwrap();
    until_copied(&store, 400).await;
    list(&store, 500).await;
    until_copied(&store, 500).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_not_opened_for_who_has_left() {
    let store = Store::start().await;
    fail(&store, "billing", "accounts").await;
    let person = json!({ "email": "ada@example.org", "password": "long enough", "name": "Ada" });
    let person = store.guest.ok_post("/api/users", &person).await;
    let user = person["id"].as_str().unwrap();
    let registered = give_up(&store, "billing", "accounts", user).await;
    let ada = store
        .guest
        .log_in("ada@example.org", "long enough")
        .await
        .unwrap();
    let left = ada
        .send(reqwest::Method::DELETE, "/api/users/me", None, None)
        .await
        .unwrap();
    left.success().unwrap();
    let billing = store.sql("billing").await;
    wait_for("billing to hear that she left", WITHIN, async || {
        let heard = "SELECT FROM inbox WHERE type = 'users.deleted.v1'";
        Ok(billing.query_opt(heard, &[]).await?.is_some())
    })
    .await
    .unwrap();
    replay(&store, "billing", registered).await;
    let account = store.manager.ok_get(&format!("/api/accounts/{user}")).await;
    assert_eq!(account["status"], "closed");
    store.stop().await;
}
