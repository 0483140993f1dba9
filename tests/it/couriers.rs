use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tovar::client::Client;

use crate::harness::{Catalogue, MustSucceed, Store, wait_for_status};

async fn report(courier: &Client, order: &str, outcome: &str) -> (StatusCode, Option<String>) {
    let path = format!("/api/deliveries/{order}/outcome");
    let answer = courier
        .post(&path, &json!({ "outcome": outcome }))
        .await
        .unwrap();
    (answer.status, answer.code().map(ToOwned::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_hands_a_parcel_over_once() {
    let store = Store::start().await;
    let catalogue = Catalogue::open_with_couriers(&store, 10, 5).await;
    let courier = store.new_user("courier").await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue.place(&customer, &catalogue.order(2)).await;
    wait_for_status(&customer, &order, &["shipped"]).await;
    let run = tovar::client::wait_for(
        "the parcel on the run",
        crate::harness::WITHIN,
        async || {
            let run = courier.get("/api/deliveries").await?.success()?;
            let parcels = run["items"].as_array().into_iter().flatten();
            Ok(parcels
                .into_iter()
                .any(|parcel| parcel["order_id"] == *order && parcel["zone"] == "couriers"))
        },
    );
    run.await.unwrap();
    assert_eq!(
        report(&customer, &order, "delivered").await.0,
        StatusCode::FORBIDDEN
    );
    courier
        .take_parcel(&order)
        .await
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(
        report(&courier, &order, "delivered").await.0,
        StatusCode::CREATED
    );
    let again = report(&courier, &order, "recipient_absent").await;
    assert_eq!(
        again,
        (
            StatusCode::CONFLICT,
            Some("not_out_for_delivery".to_owned())
        )
    );
    let delivered = customer
        .finished(&order, crate::harness::WITHIN)
        .await
        .unwrap();
    assert_eq!(delivered["status"], "delivered");
    let wanted =
        json!({ "available": 3_000, "held": 0, "stock": 8, "free": 4, "told": ["delivered"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_and_money_come_back_if_the_recipient_is_absent() {
    let store = Store::start().await;
    let catalogue = Catalogue::open_with_couriers(&store, 10, 5).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = catalogue.place(&customer, &catalogue.order(2)).await;
    let unknown = report(&store.manager, &uuid::Uuid::nil().to_string(), "delivered").await;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND);
    wait_for_status(&customer, &order, &["shipped"]).await;
    let reported =
        tovar::client::wait_for("the parcel to be out", crate::harness::WITHIN, async || {
            Ok(report(&store.manager, &order, "recipient_absent").await.0 == StatusCode::CREATED)
        });
    reported.await.unwrap();
    let refunded = customer
        .finished(&order, crate::harness::WITHIN)
        .await
        .unwrap();
    assert_eq!(
        (&refunded["status"], &refunded["outcome_reason"]),
        (&json!("refunded"), &json!("recipient_absent"))
    );
    let wanted =
        json!({ "available": 5_000, "held": 0, "stock": 10, "free": 5, "told": ["refunded"] });
    catalogue
        .expect(&store, &customer, &catalogue.slot, wanted)
        .await;
    let entries = customer.ok_get("/api/account/entries").await;
    let kinds: Vec<_> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["kind"].clone())
        .collect();
    assert_eq!(kinds, ["refund", "capture", "hold", "top_up"]);
    store.stop().await;
}

/// A parcel of this customer that is out for delivery.
async fn out(catalogue: &Catalogue, customer: &Client) -> String {
    let order = catalogue.place(customer, &catalogue.order(1)).await;
    wait_for_status(customer, &order, &["shipped"]).await;
    order
}

async fn seen(by: &Client, status: &str) -> Vec<String> {
    let path = format!("/api/deliveries?limit=100&status={status}");
    let run = by.ok_get(&path).await;
    let parcels = run["items"].as_array().unwrap().iter();
    parcels
        .map(|parcel| parcel["order_id"].as_str().unwrap().to_owned())
        .collect()
}

async fn until_seen(by: &Client, order: &str) {
    tovar::client::wait_for(
        "the parcel on the run",
        crate::harness::WITHIN,
        async || {
            Ok(seen(by, "out_for_delivery")
                .await
                .iter()
                .any(|seen| seen == order))
        },
    )
    .await
    .unwrap();
}

async fn id_of(person: &Client) -> String {
    let me = person.ok_get("/api/users/me").await;
    me["id"].as_str().unwrap().to_owned()
}

async fn give(
    by: &Client,
    order: &str,
    to: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, Option<String>) {
    let (path, body) = (
        format!("/api/deliveries/{order}/courier"),
        json!({ "courier_id": to }),
    );
    let answer = by
        .send_with(Method::PUT, &path, Some(&body), headers)
        .await
        .unwrap();
    (answer.status, answer.code().map(ToOwned::to_owned))
}

async fn give_back(by: &Client, order: &str) -> (StatusCode, Option<String>) {
    let path = format!("/api/deliveries/{order}/courier");
    let answer = by
        .send(Method::DELETE, &path, None::<&Value>, None)
        .await
        .unwrap();
    (answer.status, answer.code().map(ToOwned::to_owned))
}

fn refused(status: StatusCode, code: &str) -> (StatusCode, Option<String>) {
    (status, Some(code.to_owned()))
}

const TAKEN: (StatusCode, Option<String>) = (StatusCode::CREATED, None);
const SO_ALREADY: (StatusCode, Option<String>) = (StatusCode::OK, None);
const FREED: (StatusCode, Option<String>) = (StatusCode::NO_CONTENT, None);

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_sees_and_decides_only_parcels_that_are_theirs() {
    let store = Store::start().await;
    let catalogue = Catalogue::open_with_couriers(&store, 10, 10).await;
    let (one, two) = (
        store.new_user("courier").await,
        store.new_user("courier").await,
    );
    let (one_id, two_id) = (id_of(&one).await, id_of(&two).await);
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let (order, other) = (
        out(&catalogue, &customer).await,
        out(&catalogue, &customer).await,
    );
    for parcel in [&order, &other] {
        until_seen(&one, parcel).await;
        until_seen(&two, parcel).await;
    }

    let not_theirs = refused(StatusCode::FORBIDDEN, "not_your_parcel");
    assert_eq!(
        report(&one, &order, "delivered").await,
        not_theirs,
        "not taken yet"
    );
    let unknown = give(&one, &uuid::Uuid::nil().to_string(), &one_id, &[]).await;
    assert_eq!(unknown, refused(StatusCode::NOT_FOUND, "unknown_delivery"));
    let for_another = give(&one, &order, &two_id, &[]).await;
    assert_eq!(for_another, refused(StatusCode::FORBIDDEN, "role_denied"));
    assert_eq!(
        give(&one, &order, &one_id, &[("if-none-match", "*")]).await,
        TAKEN
    );
    assert_eq!(give(&one, &order, &one_id, &[]).await, SO_ALREADY);
    let again = give(&one, &order, &one_id, &[("if-none-match", "*")]).await;
    assert_eq!(
        again,
        refused(StatusCode::PRECONDITION_FAILED, "precondition_failed")
    );

    assert!(seen(&one, "out_for_delivery").await.contains(&order));
    assert_eq!(
        seen(&two, "out_for_delivery").await,
        std::slice::from_ref(&other)
    );
    assert_eq!(
        give(&two, &order, &two_id, &[]).await,
        refused(StatusCode::CONFLICT, "parcel_taken")
    );
    assert_eq!(give_back(&two, &order).await, not_theirs);
    assert_eq!(report(&two, &order, "recipient_absent").await, not_theirs);

    // The courier gives the parcel back, and a manager gives it to another courier.
    assert_eq!(give_back(&one, &order).await, FREED);
    assert_eq!(give_back(&one, &order).await, FREED);
    assert_eq!(report(&one, &order, "delivered").await, not_theirs);
    assert_eq!(give(&two, &order, &two_id, &[]).await, TAKEN);
    assert_eq!(give(&store.manager, &order, &one_id, &[]).await, SO_ALREADY);
    assert_eq!(report(&two, &order, "delivered").await, not_theirs);
    assert_eq!(
        report(&one, &order, "delivered").await.0,
        StatusCode::CREATED
    );
    assert_eq!(
        customer
            .finished(&order, crate::harness::WITHIN)
            .await
            .unwrap()["status"],
        "delivered"
    );

    assert_eq!(seen(&one, "delivered").await, std::slice::from_ref(&order));
    assert_eq!(seen(&two, "delivered").await, [] as [String; 0]);
    assert_eq!(
        seen(&store.manager, "delivered").await,
        std::slice::from_ref(&order)
    );
    assert_eq!(
        give(&store.manager, &order, &one_id, &[]).await,
        SO_ALREADY,
        "a late retry"
    );
    let too_late = give(&store.manager, &order, &two_id, &[]).await;
    assert_eq!(
        too_late,
        refused(StatusCode::CONFLICT, "not_out_for_delivery")
    );
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_who_ordered_a_parcel_does_not_decide_about_it() {
    let store = Store::start().await;
    let catalogue = Catalogue::open_with_couriers(&store, 10, 10).await;
    let (courier, other) = (
        store.new_user("courier").await,
        store.new_user("courier").await,
    );
    let own_order = refused(StatusCode::FORBIDDEN, "own_order");
    for customer in [&courier, &store.manager] {
        let top_up = json!({ "amount": 5_000 });
        tovar::client::wait_for("the account to open", crate::harness::WITHIN, async || {
            Ok(customer
                .post("/api/account/top-ups", &top_up)
                .await?
                .status
                .is_success())
        })
        .await
        .unwrap();
        let (order, id) = (out(&catalogue, customer).await, id_of(customer).await);
        until_seen(&other, &order).await;
        for outcome in ["recipient_absent", "delivered"] {
            assert_eq!(report(customer, &order, outcome).await, own_order);
        }
        for by in [customer, &store.manager] {
            assert_eq!(give(by, &order, &id, &[]).await, own_order);
        }
        // Also if an earlier release has let it happen.
        let sql = "UPDATE bookings SET courier_id = user_id WHERE order_id = $1::text::uuid";
        store
            .sql("delivery")
            .await
            .execute(sql, &[&order])
            .await
            .unwrap();
        assert_eq!(
            report(customer, &order, "recipient_absent").await,
            own_order
        );
        let to = id_of(&other).await;
        assert_eq!(give(&store.manager, &order, &to, &[]).await, SO_ALREADY);
        assert_eq!(
            report(&other, &order, "delivered").await.0,
            StatusCode::CREATED
        );
        customer
            .finished(&order, crate::harness::WITHIN)
            .await
            .unwrap();
    }
    let order = out(&catalogue, &courier).await;
    until_seen(&other, &order).await;
    assert_eq!(
        seen(&courier, "out_for_delivery").await,
        [] as [String; 0],
        "not to take"
    );
    store.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_is_taken_by_one_courier_however_many_want_it() {
    let store = Store::start().await;
    let catalogue = Catalogue::open_with_couriers(&store, 10, 10).await;
    let mut couriers = Vec::new();
    for _ in 0..4 {
        let courier = store.new_user("courier").await;
        couriers.push((id_of(&courier).await, courier));
    }
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let order = out(&catalogue, &customer).await;
    until_seen(&couriers[0].1, &order).await;
    let order = &order;
    let requests = couriers
        .iter()
        .map(async |(id, courier)| give(courier, order, id, &[]).await);
    let answers = futures_util::future::join_all(requests).await;
    let taken = answers.iter().filter(|answer| **answer == TAKEN).count();
    let late = refused(StatusCode::CONFLICT, "parcel_taken");
    let late = answers.iter().filter(|answer| **answer == late).count();
    assert_eq!((taken, late), (1, 3), "{answers:?}");
    store.end().await;
}
