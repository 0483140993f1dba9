use super::{Board, Row, panel};

pub fn board() -> Board {
    Board {
        uid: "service-red",
        title: "Service RED",
        description: "Rate, errors and durations of requests, at the gateway and \
                      in each service, by route.",
        variable: Some((
            "service",
            "label_values(tovar_http_requests_total, service)",
        )),
        rows: vec![
            Row {
                title: "Gateway",
                panels: vec![
                    panel(
                        "Requests",
                        "reqps",
                        "Requests a second at the gateway, by route.",
                        &[(
                            "sum by (method, route) \
                             (rate(tovar_gateway_requests_total[$__rate_interval])) > 0",
                            "{{method}} {{route}}",
                        )],
                    ),
                    panel(
                        "Errors",
                        "percentunit",
                        "Share of requests that the store answered with an error of \
                         its own, or that reached no service.",
                        &[(
                            "sum(rate(tovar_gateway_requests_total\
                             {status=~\"5xx|unreachable\"}[$__rate_interval])) / \
                             sum(rate(tovar_gateway_requests_total[$__rate_interval]))",
                            "errors",
                        )],
                    )
                    .bad_from(0.001),
                    panel(
                        "Duration",
                        "s",
                        "Time from a request's head to the head of its answer, all \
                         routes.",
                        &[
                            (
                                "histogram_quantile(0.5, sum by (le) \
                                 (rate(tovar_gateway_request_duration_seconds_bucket\
                                 [$__rate_interval])))",
                                "p50",
                            ),
                            (
                                "histogram_quantile(0.95, sum by (le) \
                                 (rate(tovar_gateway_request_duration_seconds_bucket\
                                 [$__rate_interval])))",
                                "p95",
                            ),
                            (
                                "histogram_quantile(0.99, sum by (le) \
                                 (rate(tovar_gateway_request_duration_seconds_bucket\
                                 [$__rate_interval])))",
                                "p99",
                            ),
                        ],
                    )
                    .bad_from(1.0),
                ],
            },
            Row {
                title: "Services",
                panels: vec![
                    panel(
                        "Requests",
                        "reqps",
                        "Requests a second, by service and route. Those that nobody \
                         sends are left out.",
                        &[(
                            "sum by (service, method, route) \
                             (rate(tovar_http_requests_total{service=~\"$service\"}\
                             [$__rate_interval])) > 0",
                            "{{method}} {{route}}",
                        )],
                    ),
                    panel(
                        "Answers by class",
                        "reqps",
                        "Answers a second by class of status. 4xx are refusals, \
                         which are no errors of the store.",
                        &[(
                            "sum by (service, status) \
                             (rate(tovar_http_requests_total{service=~\"$service\"}\
                             [$__rate_interval]))",
                            "{{service}} {{status}}",
                        )],
                    ),
                    panel(
                        "Errors",
                        "percentunit",
                        "Share of a service's requests that it \
                         answered with 5xx.",
                        &[(
                            "sum by (service) \
                             (rate(tovar_http_requests_total{service=~\"$service\",\
                             status=\"5xx\"}[$__rate_interval])) / sum by (service) \
                             (rate(tovar_http_requests_total{service=~\"$service\"}\
                             [$__rate_interval]))",
                            "{{service}}",
                        )],
                    )
                    .bad_from(0.001),
                    panel(
                        "Median duration",
                        "s",
                        "The time within which half of a service's requests were \
                         answered.",
                        &[(
                            "histogram_quantile(0.5, sum by (service, le) \
                             (rate(tovar_http_request_duration_seconds_bucket\
                             {service=~\"$service\"}[$__rate_interval])))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "p99 duration",
                        "s",
                        "The time within which 99 of a hundred of a service's \
                         requests were answered.",
                        &[(
                            "histogram_quantile(0.99, sum by (service, le) \
                             (rate(tovar_http_request_duration_seconds_bucket\
                             {service=~\"$service\"}[$__rate_interval])))",
                            "{{service}}",
                        )],
                    ),
                    panel(
                        "p99 by route",
                        "s",
                        "The same for each route.",
                        &[(
                            "histogram_quantile(0.99, sum by (method, route, le) \
                             (rate(tovar_http_request_duration_seconds_bucket\
                             {service=~\"$service\"}[$__rate_interval]))) > 0",
                            "{{method}} {{route}}",
                        )],
                    ),
                ],
            },
            Row {
                title: "Processes",
                panels: vec![
                    panel(
                        "CPU",
                        "percentunit",
                        "Share of a core that each process uses.",
                        &[(
                            "sum by (service, process) \
                             (rate(tovar_process_cpu_seconds_total{service=~\"$service\"}\
                             [$__rate_interval]))",
                            "{{service}} {{process}}",
                        )],
                    ),
                    panel(
                        "Memory",
                        "bytes",
                        "Memory of each process that is resident.",
                        &[(
                            "sum by (service, process) \
                             (tovar_process_resident_memory_bytes{service=~\"$service\"})",
                            "{{service}} {{process}}",
                        )],
                    ),
                    panel(
                        "Files and sockets",
                        "short",
                        "Files and sockets that each process has \
                         open.",
                        &[(
                            "sum by (service, process) \
                             (tovar_process_open_files{service=~\"$service\"})",
                            "{{service}} {{process}}",
                        )],
                    ),
                    panel(
                        "Releases",
                        "short",
                        "Replicas by release: two lines of one service are an \
                         upgrade under way.",
                        &[(
                            "count by (service, process, version, revision) \
                             (tovar_build_info{service=~\"$service\"})",
                            "{{service}} {{process}} {{version}} {{revision}}",
                        )],
                    )
                    .wide(12),
                    panel(
                        "Trace spans",
                        "ops",
                        "Spans that the collector took, and those that were given \
                         up. Nothing where no endpoint is set.",
                        &[
                            (
                                "sum(rate(tovar_trace_spans_exported_total[$__rate_interval]))",
                                "exported",
                            ),
                            (
                                "sum(rate(tovar_trace_spans_dropped_total[$__rate_interval]))",
                                "dropped",
                            ),
                        ],
                    )
                    .wide(12),
                ],
            },
        ],
    }
}
