use super::{Board, Row, panel};

pub fn board() -> Board {
    Board {
        uid: "postgresql",
        title: "PostgreSQL",
        description: "The services' databases, from what each service reads of \
                      PostgreSQL's own statistics and counts of its pool. No \
                      exporter is needed.",
        variable: Some((
            "service",
            "label_values(tovar_postgres_commits_total, service)",
        )),
        rows: vec![
            Row {
                title: "Transactions",
                panels: vec![
                    panel(
                        "Commits",
                        "ops",
                        "Transactions a second that committed; the relay's are among \
                         them.",
                        &[(
                            "max by (service) \
                             (rate(tovar_postgres_commits_total{service=~\"$service\"}\
                             [$__rate_interval]))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Rollbacks",
                        "ops",
                        "Transactions a second that were rolled back: refusals, and \
                         what is tried again.",
                        &[(
                            "max by (service) \
                             (rate(tovar_postgres_rollbacks_total{service=~\"$service\"}\
                             [$__rate_interval]))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Duration in the service",
                        "s",
                        "p99 of the time from a transaction's begin to its commit, \
                         as the service sees it.",
                        &[(
                            "histogram_quantile(0.99, sum by (service, le) \
                             (rate(tovar_db_transaction_duration_seconds_bucket\
                             {service=~\"$service\",outcome=\"committed\"}\
                             [$__rate_interval])))",
                            "{{service}}",
                        )],
                    )
                    .bad_from(0.25),
                    panel(
                        "Slow transactions",
                        "percentunit",
                        "Share of transactions that take longer than 250 ms. From 5 \
                         % on somebody is paged.",
                        &[(
                            "1 - sum by (service) \
                             (rate(tovar_db_transaction_duration_seconds_bucket\
                             {service=~\"$service\",outcome=\"committed\",le=\"0.25\"}\
                             [$__rate_interval])) / sum by (service) \
                             (rate(tovar_db_transaction_duration_seconds_count\
                             {service=~\"$service\",outcome=\"committed\"}\
                             [$__rate_interval]))",
                            "{{service}}",
                        )],
                    )
                    .bad_from(0.05),
                    panel(
                        "Oldest open transaction",
                        "s",
                        "One that stays open keeps vacuum from \
                         its work.",
                        &[(
                            "max by (service) \
                             (tovar_postgres_oldest_transaction_seconds\
                             {service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_from(60.0),
                    panel(
                        "Waiting for locks",
                        "short",
                        "Locks that a session waits for at the \
                         moment of the reading.",
                        &[(
                            "max by (service) \
                             (tovar_postgres_lock_waiters{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Deadlocks",
                        "short",
                        "Deadlocks that PostgreSQL broke since its \
                         statistics began.",
                        &[(
                            "max by (service) \
                             (tovar_postgres_deadlocks_total{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_from(1.0),
                    panel(
                        "Sessions",
                        "short",
                        "Sessions of the database, the relay's and operators' among \
                         them.",
                        &[(
                            "max by (service) \
                             (tovar_postgres_sessions{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Age of these readings",
                        "s",
                        "How old what is shown here is: it grows while the database \
                         does not answer.",
                        &[(
                            "min by (service) \
                             (tovar_readings_age_seconds{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_from(30.0),
                ],
            },
            Row {
                title: "Pool",
                panels: vec![
                    panel(
                        "Connections in use",
                        "short",
                        "Of the pool of each service.",
                        &[(
                            "sum by (service) \
                             (tovar_db_pool_connections{service=~\"$service\",\
                             state=\"used\"})",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Used of what is allowed",
                        "percentunit",
                        "At 1 requests and events \
                         wait for a connection.",
                        &[(
                            "sum by (service) \
                             (tovar_db_pool_connections{service=~\"$service\",\
                             state=\"used\"}) / sum by (service) \
                             (tovar_db_pool_limit{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    )
                    .bad_from(1.0),
                    panel(
                        "Waits for a connection",
                        "ops",
                        "Requests a second for a connection that had to wait, or got \
                         none in time.",
                        &[(
                            "sum by (service, how) \
                             (rate(tovar_db_pool_gets_total{service=~\"$service\",\
                             how!=\"direct\"}[$__rate_interval]))",
                            "{{service}} {{how}}",
                        )],
                    ),
                ],
            },
            Row {
                title: "Rows and storage",
                panels: vec![
                    panel(
                        "Rows written",
                        "ops",
                        "Rows a second that were inserted, updated or \
                         deleted.",
                        &[
                            (
                                "max by (service) \
                                 (rate(tovar_postgres_rows_inserted_total\
                                 {service=~\"$service\"}[$__rate_interval]))",
                                "{{service}} inserted",
                            ),
                            (
                                "max by (service) \
                                 (rate(tovar_postgres_rows_updated_total\
                                 {service=~\"$service\"}[$__rate_interval]))",
                                "{{service}} updated",
                            ),
                            (
                                "max by (service) \
                                 (rate(tovar_postgres_rows_deleted_total\
                                 {service=~\"$service\"}[$__rate_interval]))",
                                "{{service}} deleted",
                            ),
                        ],
                    ),
                    panel(
                        "Rows read",
                        "ops",
                        "Rows a second that scans went through, and those that an \
                         index found.",
                        &[
                            (
                                "max by (service) \
                                 (rate(tovar_postgres_rows_scanned_total\
                                 {service=~\"$service\"}[$__rate_interval]))",
                                "{{service}} scanned",
                            ),
                            (
                                "max by (service) \
                                 (rate(tovar_postgres_rows_fetched_total\
                                 {service=~\"$service\"}[$__rate_interval]))",
                                "{{service}} fetched",
                            ),
                        ],
                    ),
                    panel(
                        "Found in the cache",
                        "percentunit",
                        "Share of blocks that PostgreSQL \
                         had in its own cache.",
                        &[(
                            "max by (service) \
                             (rate(tovar_postgres_blocks_hit_total{service=~\"$service\"}\
                             [$__rate_interval])) / (max by (service) \
                             (rate(tovar_postgres_blocks_hit_total{service=~\"$service\"}\
                             [$__rate_interval])) + max by (service) \
                             (rate(tovar_postgres_blocks_read_total{service=~\"$service\"}\
                             [$__rate_interval])))",
                            "{{service}}",
                        )],
                    )
                    .bad_below(0.9),
                    panel(
                        "Write-ahead log",
                        "Bps",
                        "Bytes a second of the whole cluster, as each service sees \
                         it: services on one cluster show the same.",
                        &[(
                            "max by (service) \
                             (rate(tovar_postgres_wal_bytes_total{service=~\"$service\"}\
                             [$__rate_interval]))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Temporary files",
                        "Bps",
                        "Bytes a second that queries had no room for \
                         in memory.",
                        &[(
                            "max by (service) \
                             (rate(tovar_postgres_temporary_bytes_total\
                             {service=~\"$service\"}[$__rate_interval]))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Size",
                        "bytes",
                        "Size of each database.",
                        &[(
                            "max by (service) \
                             (tovar_postgres_size_bytes{service=~\"$service\"})",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "Largest tables",
                        "bytes",
                        "The ten largest tables with their indexes.",
                        &[(
                            "topk(10, max by (service, table) \
                             (tovar_postgres_table_size_bytes{service=~\"$service\"}))",
                            "{{service}} {{table}}",
                        )],
                    ),
                    panel(
                        "Dead rows",
                        "short",
                        "The ten tables with the most rows that a vacuum \
                         will remove.",
                        &[(
                            "topk(10, max by (service, table) \
                             (tovar_postgres_table_dead_rows{service=~\"$service\"}))",
                            "{{service}} {{table}}",
                        )],
                    ),
                    panel(
                        "Whole tables scanned",
                        "ops",
                        "The ten tables that are read from end to end most often, \
                         times a second.",
                        &[(
                            "topk(10, max by (service, table) \
                             (rate(tovar_postgres_table_sequential_scans_total\
                             {service=~\"$service\"}[$__rate_interval])))",
                            "{{service}} {{table}}",
                        )],
                    ),
                ],
            },
        ],
    }
}
