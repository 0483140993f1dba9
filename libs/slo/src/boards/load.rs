use super::{Board, Row, panel};

pub fn board() -> Board {
    Board {
        uid: "load-test",
        title: "Load test",
        description: "The minutes of a load test: choose its time range. Counts \
                      are counted and not extrapolated, so that they can be \
                      compared with the load's own journal.",
        variable: None,
        rows: vec![
            Row {
                title: "In this range",
                panels: vec![
                    panel(
                        "Requests",
                        "short",
                        "Requests at the gateway in the range that is \
                         shown.",
                        &[(
                            "sum(max_over_time(tovar_gateway_requests_total[$__range]) - \
                             min_over_time(tovar_gateway_requests_total[$__range]))",
                            "requests",
                        )],
                    )
                    .stat()
                    .wide(6),
                    panel(
                        "Errors",
                        "short",
                        "Those that the store answered with an error of its own, or \
                         that reached no service.",
                        &[(
                            "sum(max_over_time(tovar_gateway_requests_total\
                             {status=~\"5xx|unreachable\"}[$__range]) - \
                             min_over_time(tovar_gateway_requests_total\
                             {status=~\"5xx|unreachable\"}[$__range]))",
                            "errors",
                        )],
                    )
                    .stat()
                    .wide(6)
                    .bad_from(1.0),
                    panel(
                        "Orders placed",
                        "short",
                        "Orders that were placed in the range.",
                        &[(
                            "sum(max_over_time(tovar_orders_placed_total[$__range]) - \
                             min_over_time(tovar_orders_placed_total[$__range]))",
                            "placed",
                        )],
                    )
                    .stat()
                    .wide(6),
                    panel(
                        "Orders ended",
                        "short",
                        "Orders that ended in the range, however they \
                         did.",
                        &[(
                            "sum(max_over_time(tovar_orders_ended_seconds_count[$__range]) \
                             - min_over_time(tovar_orders_ended_seconds_count[$__range]))",
                            "ended",
                        )],
                    )
                    .stat()
                    .wide(6),
                ],
            },
            Row {
                title: "What the load does",
                panels: vec![
                    panel(
                        "Requests",
                        "reqps",
                        "Requests a second at the gateway by class of \
                         status.",
                        &[(
                            "sum by (status) \
                             (rate(tovar_gateway_requests_total[$__rate_interval]))",
                            "{{status}}",
                        )],
                    ),
                    panel(
                        "Answered within",
                        "s",
                        "Time to an answer at the gateway, all routes. p99 of the \
                         load's own report may lie one bucket beside it.",
                        &[
                            (
                                "histogram_quantile(0.5, sum by (le) \
                                 (rate(tovar_gateway_request_duration_seconds_bucket\
                                 [$__rate_interval])))",
                                "p50",
                            ),
                            (
                                "histogram_quantile(0.99, sum by (le) \
                                 (rate(tovar_gateway_request_duration_seconds_bucket\
                                 [$__rate_interval])))",
                                "p99",
                            ),
                        ],
                    ),
                    panel(
                        "Placing an order",
                        "s",
                        "Time to the answer of POST /api/orders.",
                        &[
                            (
                                "histogram_quantile(0.5, sum by (le) \
                                 (rate(tovar_gateway_request_duration_seconds_bucket\
                                 {method=\"POST\",route=\"/api/orders\"}[$__rate_interval])))",
                                "p50",
                            ),
                            (
                                "histogram_quantile(0.99, sum by (le) \
                                 (rate(tovar_gateway_request_duration_seconds_bucket\
                                 {method=\"POST\",route=\"/api/orders\"}[$__rate_interval])))",
                                "p99",
                            ),
                        ],
                    )
                    .bad_from(1.0),
                    panel(
                        "Orders",
                        "ops",
                        "Orders a second, placed and ended. Where the lines part, \
                         orders pile up.",
                        &[
                            (
                                "sum(rate(tovar_orders_placed_total[$__rate_interval]))",
                                "placed",
                            ),
                            (
                                "sum(rate(tovar_orders_ended_seconds_count[$__rate_interval]))",
                                "ended",
                            ),
                        ],
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
                        "By route",
                        "reqps",
                        "Requests a second by route.",
                        &[(
                            "sum by (method, route) \
                             (rate(tovar_gateway_requests_total[$__rate_interval])) > 0",
                            "{{method}} {{route}}",
                        )],
                    ),
                ],
            },
            Row {
                title: "What it costs",
                panels: vec![
                    panel(
                        "CPU by process",
                        "percentunit",
                        "Share of a core. PostgreSQL and Kafka \
                         come on top.",
                        &[(
                            "sum by (service, process) \
                             (rate(tovar_process_cpu_seconds_total[$__rate_interval]))",
                            "{{service}} {{process}}",
                        )],
                    ),
                    panel(
                        "Memory",
                        "bytes",
                        "Resident memory by kind of process.",
                        &[(
                            "sum by \
                             (process) (tovar_process_resident_memory_bytes)",
                            "{{process}}",
                        )],
                    ),
                    panel(
                        "What waits",
                        "short",
                        "Events in the outboxes and messages before the \
                         consumers.",
                        &[
                            (
                                "sum(max by (service) (tovar_outbox_waiting))",
                                "in outboxes",
                            ),
                            ("sum(tovar_inbox_lag_messages)", "before consumers"),
                        ],
                    ),
                ],
            },
        ],
    }
}
