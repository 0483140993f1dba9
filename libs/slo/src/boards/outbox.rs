use super::{Board, Row, panel};

pub fn board() -> Board {
    Board {
        uid: "outbox-relay",
        title: "Outbox and relay",
        description: "Events on their way from a service's database to Kafka.",
        variable: Some(("service", "label_values(tovar_outbox_waiting, service)")),
        rows: vec![
            Row {
                title: "What waits, as the services read it: true also while a \
                        relay is down",
                panels: vec![
                    panel(
                        "Age of the oldest event",
                        "s",
                        "How long the oldest event has waited that Kafka is not \
                         known to have. It grows also while nothing is sent.",
                        &[(
                            "max by (service) \
                             (tovar_outbox_oldest_age_seconds{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_from(30.0),
                    panel(
                        "Events that wait",
                        "short",
                        "Events that Kafka is not known to have.",
                        &[(
                            "max by (service) (tovar_outbox_waiting{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "A relay is at work",
                        "bool_yes_no",
                        "Whether a relay is active on the \
                         outbox.",
                        &[(
                            "max by (service) (tovar_outbox_led{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_below(1.0),
                    panel(
                        "Parked events",
                        "short",
                        "What Kafka refused, and what waits behind it, until an \
                         operator acts.",
                        &[(
                            "max by \
                             (service) \
                             (tovar_outbox_parked{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_from(1.0),
                    panel(
                        "Age of the readings",
                        "s",
                        "How old the readings on this row are.",
                        &[(
                            "min by (service) \
                             (tovar_readings_age_seconds{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_from(30.0),
                    panel(
                        "Size of the outbox",
                        "bytes",
                        "All buckets with their indexes. They are emptied after the \
                         retention.",
                        &[(
                            "sum by (service) (max by (service, table) \
                             (tovar_postgres_table_size_bytes{service=~\"$service\",\
                             table=~\"outbox_.\"}))",
                            "{{service}}",
                        )],
                    ),
                ],
            },
            Row {
                title: "Relays",
                panels: vec![
                    panel(
                        "Events sent",
                        "ops",
                        "Events a second that Kafka acknowledged.",
                        &[(
                            "sum by (service) \
                             (rate(tovar_relay_sent_total{service=~\"$service\"}\
                             [$__rate_interval]))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Insert to acknowledgement",
                        "s",
                        "From an event's insert to Kafka's acknowledgement, all \
                         services that are chosen.",
                        &[
                            (
                                "histogram_quantile(0.5, sum by (le) \
                                 (rate(tovar_relay_insert_to_ack_seconds_bucket\
                                 {service=~\"$service\"}[$__rate_interval])))",
                                "p50",
                            ),
                            (
                                "histogram_quantile(0.99, sum by (le) \
                                 (rate(tovar_relay_insert_to_ack_seconds_bucket\
                                 {service=~\"$service\"}[$__rate_interval])))",
                                "p99",
                            ),
                        ],
                    )
                    .bad_from(2.0),
                    panel(
                        "p99 by service",
                        "s",
                        "The slowest of a hundred events, from insert to \
                         acknowledgement.",
                        &[(
                            "histogram_quantile(0.99, sum by (service, le) \
                             (rate(tovar_relay_insert_to_ack_seconds_bucket\
                             {service=~\"$service\"}[$__rate_interval])))",
                            "{{service}}",
                        )],
                    )
                    .bad_from(2.0),
                    panel(
                        "Events in a read",
                        "short",
                        "How many events a read of the log finds: \
                         more under load.",
                        &[(
                            "sum by (service) \
                             (rate(tovar_relay_sent_total{service=~\"$service\"}\
                             [$__rate_interval])) / sum by (service) \
                             (rate(tovar_relay_batches_total{service=~\"$service\"}\
                             [$__rate_interval]))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "In flight",
                        "short",
                        "Events that a relay has read and Kafka has not \
                         acknowledged.",
                        &[(
                            "sum by (service) \
                             (tovar_relay_waiting{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Kafka is away",
                        "bool_yes_no",
                        "Whether a relay reaches no broker.",
                        &[(
                            "max by (service) (tovar_relay_outage{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_from(1.0),
                    panel(
                        "Relays that are running",
                        "short",
                        "Active ones and those that stand \
                         by.",
                        &[(
                            "count by (service) (tovar_relay_leader{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Promotions",
                        "short",
                        "Promotions of a database that its relay went on \
                         from.",
                        &[(
                            "sum by (service) \
                             (tovar_relay_promotions_total{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "CPU of the relays",
                        "percentunit",
                        "Share of a core.",
                        &[(
                            "sum by (service) \
                             (rate(tovar_process_cpu_seconds_total{process=\"relay\",\
                             service=~\"$service\"}[$__rate_interval]))",
                            "{{service}}",
                        )],
                    ),
                ],
            },
        ],
    }
}
