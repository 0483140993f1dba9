use uuid::Uuid;

use super::{
    Orders,
    breaks::{Break, add, id, lose, of_order, park, revenue, set},
};
use crate::harness::Store;

/// What a verdict should have undone.
pub async fn undone(store: &Store, orders: &Orders) -> Vec<Break> {
    let Orders {
        refunded,
        cancelled,
        ..
    } = orders;
    let refund = id(store, "billing", "entry_sets", "refund", refunded).await;
    let (of_refunded, of_cancelled) = (&of_order(refunded), &of_order(cancelled));
    vec![
        set(
            (
                5,
                "an order that did not go through and keeps its customer's money",
                refunded,
            ),
            ("billing", "postings", &revenue(&refund)),
            "amount",
            ("amount + 1", "amount - 1"),
        ),
        set(
            (
                5,
                "a refunded order whose payment was not taken and given back",
                refunded,
            ),
            ("billing", "holds", of_refunded),
            "state",
            ("'released'", "'refunded'"),
        ),
        set(
            (
                5,
                "an order that is over and still has goods set aside",
                cancelled,
            ),
            ("warehouse", "parcels", of_cancelled),
            "state",
            ("'reserved'", "'released'"),
        ),
        set(
            (
                5,
                "an order that did not go through and whose goods are not on the shelf",
                cancelled,
            ),
            ("warehouse", "parcels", of_cancelled),
            "state",
            ("'shipped'", "'released'"),
        ),
        set(
            (
                5,
                "an order that did not go through and still has its place in a slot",
                refunded,
            ),
            ("delivery", "bookings", of_refunded),
            "state",
            ("'failed'", "'freed'"),
        ),
    ]
}

/// Violations that show only between databases.
#[expect(clippy::too_many_lines, reason = "it is a list")]
pub async fn of_databases(store: &Store, orders: &Orders) -> Vec<Break> {
    let Orders {
        delivered,
        rejected,
        waiting,
        ..
    } = orders;
    let told = id(
        store,
        "notifications",
        "notifications",
        "delivered",
        delivered,
    )
    .await;
    let notification = format!("id = '{told}'");
    let nowhere = Uuid::now_v7().to_string();
    let stands_still = (
        3,
        "an order that stands still before its end",
        waiting.as_str(),
    );
    let not_shipped = (
        4,
        "a delivery of a parcel that was not shipped",
        delivered.as_str(),
    );
    let not_paid = (
        4,
        "a parcel that was shipped and not paid for in full",
        delivered.as_str(),
    );
    let holds = (
        5,
        "an order that is over and still holds money",
        rejected.as_str(),
    );
    let other_end = (
        9,
        "an order of which another end was told than it has",
        delivered.as_str(),
    );
    let not_told = (
        9,
        "an order that is over and whose end was not told",
        delivered.as_str(),
    );
    let passed_over = (
        8,
        "an event that notifications has passed over",
        told.as_str(),
    );
    let unpublished = (
        8,
        "an event that delivery applied and that warehouse did not publish",
        nowhere.as_str(),
    );
    let parked = (
        8,
        "an event that is parked in the inbox of delivery",
        nowhere.as_str(),
    );
    let applied =
        format!("INSERT INTO inbox VALUES ('delivery', '{nowhere}', 'warehouse.shipped.v1')");
    let put_aside = park(&nowhere, delivered);
    let unknown = nowhere.clone();
    let not_delivered = (
        4,
        "an order that is delivered without its parcel's being delivered",
        delivered.as_str(),
    );
    let not_ordered = (
        3,
        "money, goods, a slot or a notification of an order that orders does not know",
        unknown.as_str(),
    );
    let nowhere = format!("event_id = '{nowhere}'");
    let (of_delivered, of_rejected) = (&of_order(delivered), &of_order(rejected));
    vec![
        set(
            stands_still,
            ("delivery", "bookings", &of_order(waiting)),
            "state",
            ("'delivered'", "'out_for_delivery'"),
        ),
        set(
            not_delivered,
            ("delivery", "bookings", of_delivered),
            "state",
            ("'freed'", "'delivered'"),
        ),
        add(
            not_ordered,
            "billing",
            format!("INSERT INTO holds VALUES ('{unknown}', '{unknown}', 'settled', 0)"),
            ("holds", &of_order(&unknown)),
        ),
        set(
            not_shipped,
            ("warehouse", "parcels", of_delivered),
            "state",
            ("'released'", "'shipped'"),
        ),
        set(
            not_paid,
            ("billing", "holds", of_delivered),
            "state",
            ("'released'", "'captured'"),
        ),
        set(
            holds,
            ("billing", "holds", of_rejected),
            "state",
            ("'held'", "'settled'"),
        ),
        set(
            other_end,
            ("notifications", "notifications", &notification),
            "kind",
            ("'rejected'", "'delivered'"),
        ),
        lose(not_told, "notifications", "notifications", &notification),
        lose(
            passed_over,
            "notifications",
            "inbox",
            &format!("event_id = '{told}'"),
        ),
        add(unpublished, "delivery", applied, ("inbox", &nowhere)),
        add(parked, "delivery", put_aside, ("inbox_parked", &nowhere)),
    ]
}
