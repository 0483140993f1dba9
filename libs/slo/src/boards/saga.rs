use super::{Board, Row, panel};

pub fn board() -> Board {
    Board {
        uid: "saga",
        title: "Saga",
        description: "Orders: how many, where they are, how long they take, and \
                      which need somebody.",
        variable: None,
        rows: vec![
            Row {
                title: "Under way",
                panels: vec![
                    panel(
                        "Orders by status",
                        "short",
                        "Orders that are under way. Shipped ones may wait for their \
                         courier.",
                        &[(
                            "max by \
                             (status) (tovar_orders_open)",
                            "{{status}}",
                        )],
                    ),
                    panel(
                        "Oldest that is not shipped",
                        "s",
                        "How long ago it was placed. An order that stands still \
                         shows here before any deadline.",
                        &[("max(tovar_orders_oldest_unshipped_seconds)", "oldest")],
                    )
                    .bad_from(60.0),
                    panel(
                        "Orders that need somebody",
                        "short",
                        "Orders whose deadline has passed and that no stop would \
                         help, by reason.",
                        &[(
                            "max by (reason) \
                             (tovar_orders_needing_attention)",
                            "{{reason}}",
                        )],
                    )
                    .bad_from(1.0),
                    panel(
                        "Past their deadline",
                        "short",
                        "Orders that the sweeper has still to deal with: more than a \
                         few for long means that it stands still.",
                        &[("max(tovar_orders_past_deadline)", "orders")],
                    )
                    .wide(12)
                    .bad_from(1.0),
                    panel(
                        "Broken invariants",
                        "short",
                        "Rows that contradict what must always hold. Anything but 0 \
                         is a defect, or a change by hand.",
                        &[(
                            "max by (service, \
                             invariant) \
                             (tovar_invariant_violations)",
                            "{{service}} {{invariant}}",
                        )],
                    )
                    .wide(12)
                    .bad_from(1.0),
                ],
            },
            Row {
                title: "How they go",
                panels: vec![
                    panel(
                        "Placed",
                        "ops",
                        "Orders a second.",
                        &[(
                            "sum(rate(tovar_orders_placed_total[$__rate_interval]))",
                            "placed",
                        )],
                    ),
                    panel(
                        "Ended",
                        "ops",
                        "Orders a second by how they end.",
                        &[(
                            "sum by (status) \
                             (rate(tovar_orders_ended_seconds_count[$__rate_interval]))",
                            "{{status}}",
                        )],
                    ),
                    panel(
                        "Share that is delivered",
                        "percentunit",
                        "Of the orders that end. Refusals are no errors: too little \
                         money, stock or room.",
                        &[(
                            "sum(rate(tovar_orders_ended_seconds_count\
                             {status=\"delivered\"}[$__rate_interval])) / \
                             sum(rate(tovar_orders_ended_seconds_count[$__rate_interval]))",
                            "delivered",
                        )],
                    ),
                    panel(
                        "Placed to shipped",
                        "s",
                        "From the placing of an order to its shipment, or its end \
                         where it never ships.",
                        &[
                            (
                                "histogram_quantile(0.5, sum by (le) \
                                 (rate(tovar_orders_shipped_or_ended_seconds_bucket\
                                 [$__rate_interval])))",
                                "p50",
                            ),
                            (
                                "histogram_quantile(0.99, sum by (le) \
                                 (rate(tovar_orders_shipped_or_ended_seconds_bucket\
                                 [$__rate_interval])))",
                                "p99",
                            ),
                        ],
                    )
                    .bad_from(30.0),
                    panel(
                        "Placed to end",
                        "s",
                        "The median by how the order ends. A courier's takes until \
                         its slot.",
                        &[(
                            "histogram_quantile(0.5, sum by (status, le) \
                             (rate(tovar_orders_ended_seconds_bucket[$__rate_interval])))",
                            "{{status}}",
                        )],
                    ),
                    panel(
                        "Refusals by event",
                        "ops",
                        "Refusals a second that orders heard of.",
                        &[(
                            "sum by (type) \
                             (rate(tovar_inbox_events_total{service=\"orders\",\
                             outcome=\"applied\",type=~\".*refused.*\"}[$__rate_interval]))",
                            "{{type}}",
                        )],
                    ),
                ],
            },
        ],
    }
}
