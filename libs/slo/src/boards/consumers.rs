use super::{Board, Row, panel};

pub fn board() -> Board {
    Board {
        uid: "consumers",
        title: "Consumers",
        description: "Events on their way from Kafka into the services' databases.",
        variable: Some(("service", "label_values(tovar_inbox_events_total, service)")),
        rows: vec![
            Row {
                title: "What goes on",
                panels: vec![
                    panel(
                        "Events applied",
                        "ops",
                        "Events a second whose handler committed.",
                        &[(
                            "sum by (service) \
                             (rate(tovar_inbox_events_total{service=~\"$service\",\
                             outcome=\"applied\"}[$__rate_interval]))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Age at commit",
                        "s",
                        "From an event's publication to the commit of its \
                         handler.",
                        &[
                            (
                                "histogram_quantile(0.5, sum by (le) \
                                 (rate(tovar_inbox_event_age_seconds_bucket\
                                 {service=~\"$service\"}[$__rate_interval])))",
                                "p50",
                            ),
                            (
                                "histogram_quantile(0.99, sum by (le) \
                                 (rate(tovar_inbox_event_age_seconds_bucket\
                                 {service=~\"$service\"}[$__rate_interval])))",
                                "p99",
                            ),
                        ],
                    )
                    .bad_from(10.0),
                    panel(
                        "p99 age by service",
                        "s",
                        "The slowest of a hundred events. A consumer that stands \
                         still shows nothing here, but behind, and blocked.",
                        &[(
                            "histogram_quantile(0.99, sum by (service, le) \
                             (rate(tovar_inbox_event_age_seconds_bucket\
                             {service=~\"$service\"}[$__rate_interval])))",
                            "{{service}}",
                        )],
                    )
                    .bad_from(10.0),
                    panel(
                        "By type",
                        "ops",
                        "Events a second by type. Those that do not come are \
                         left out.",
                        &[(
                            "sum by (service, type) \
                             (rate(tovar_inbox_events_total{service=~\"$service\",\
                             outcome=\"applied\"}[$__rate_interval])) > 0",
                            "{{service}} {{type}}",
                        )],
                    )
                    .wide(12),
                    panel(
                        "Ignored",
                        "ops",
                        "Events a second of types that a service does not \
                         listen to.",
                        &[(
                            "sum by (service) \
                             (rate(tovar_inbox_events_total{service=~\"$service\",\
                             outcome=\"ignored\"}[$__rate_interval]))",
                            "{{service}}",
                        )],
                    )
                    .wide(12),
                ],
            },
            Row {
                title: "What does not",
                panels: vec![
                    panel(
                        "Behind",
                        "short",
                        "Messages that a service has still to read.",
                        &[(
                            "sum by (service) \
                             (tovar_inbox_lag_messages{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Blocked partitions",
                        "short",
                        "Partitions that wait until an event can \
                         be applied.",
                        &[(
                            "sum by (service) \
                             (tovar_inbox_blocked_partitions{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_from(1.0),
                    panel(
                        "Parked events",
                        "short",
                        "What could not be applied, and what waits behind it, until \
                         an operator acts.",
                        &[(
                            "max by (service) (tovar_inbox_parked{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_from(1.0),
                    panel(
                        "Retries",
                        "ops",
                        "Attempts a second that failed and are made again.",
                        &[(
                            "sum by (service) \
                             (rate(tovar_inbox_retries_total{service=~\"$service\"}\
                             [$__rate_interval]))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Duplicates",
                        "ops",
                        "Events a second that were applied before, and dropped. Each \
                         restart of a relay or consumer makes some.",
                        &[(
                            "sum by (service) \
                             (rate(tovar_inbox_events_total{service=~\"$service\",\
                             outcome=\"duplicate\"}[$__rate_interval]))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Behind by topic",
                        "short",
                        "Messages that have still to be read, by \
                         service and topic.",
                        &[(
                            "sum by (service, topic) \
                             (tovar_inbox_lag_messages{service=~\"$service\"})",
                            "{{service}} {{topic}}",
                        )],
                    ),
                ],
            },
        ],
    }
}
