use super::{Board, Panel, Row, panel};

pub fn board() -> Board {
    Board {
        uid: "slo-detail",
        title: "SLO detail",
        description: "One objective: what is promised, what was kept, and how \
                      fast its error budget burns.",
        variable: Some(("slo", "label_values(slo:objective:ratio, slo)")),
        rows: vec![
            Row {
                title: "Promised and kept",
                panels: vec![
                    panel(
                        "Objective",
                        "percentunit",
                        "The share that must be good over 30 days.",
                        &[("slo:objective:ratio{slo=~\"$slo\"}", "{{slo}}")],
                    )
                    .stat(),
                    panel(
                        "Good, over 30 days",
                        "percentunit",
                        "The share that was good.",
                        &[("1 - slo:error_ratio:rate30d{slo=~\"$slo\"}", "{{slo}}")],
                    )
                    .stat(),
                    panel(
                        "Budget that is left",
                        "percentunit",
                        "1 is all of it; below 0 the \
                         promise is broken.",
                        &[("slo:budget_left:ratio{slo=~\"$slo\"}", "{{slo}}")],
                    )
                    .stat()
                    .bad_below(0.0),
                ],
            },
            Row {
                title: "Burn rates: how many times as fast as allowed the budget burns",
                panels: vec![
                    burn("5m", "1h", 14.4),
                    burn("30m", "6h", 6.0),
                    burn("2h", "1d", 3.0),
                    burn("6h", "3d", 1.0),
                ],
            },
            Row {
                title: "Events",
                panels: vec![
                    panel(
                        "Events a second",
                        "ops",
                        "What the objective counts: requests, events or orders. One \
                         about time has none.",
                        &[("slo:events:rate5m{slo=~\"$slo\"}", "{{slo}}")],
                    ),
                    // An order that is under way at the end of a window counts as bad in it and as
                    // good again in the next, so that sums over both are right. A single window may
                    // then be below zero.
                    panel(
                        "Bad ones a second",
                        "ops",
                        "Those of them that were too late or failed.",
                        &[("clamp_min(slo:errors:rate5m{slo=~\"$slo\"}, 0)", "{{slo}}")],
                    ),
                    panel(
                        "Share that is bad, five minutes",
                        "percentunit",
                        "Bad ones of all.",
                        &[(
                            "clamp_min(slo:error_ratio:rate5m{slo=~\"$slo\"}, 0)",
                            "{{slo}}",
                        )],
                    ),
                ],
            },
            Row {
                title: "Requests in this range, counted and not extrapolated: the \
                        gateway's own journal says the same, unless it was started \
                        again",
                panels: vec![
                    panel(
                        "Requests in this range",
                        "short",
                        "Requests at the gateway in the \
                         range that is shown.",
                        &[(&format!("sum({})", counted("")), "requests")],
                    )
                    .stat()
                    .wide(6),
                    panel(
                        "Failed requests in this range",
                        "short",
                        "Those of them that the store answered with an error of its \
                         own, or that reached no service.",
                        &[(&format!("sum({})", counted(FAILED)), "failed")],
                    )
                    .stat()
                    .wide(6)
                    .bad_from(1.0),
                    panel(
                        "Budget that this range used",
                        "percentunit",
                        "Failed requests, as a share of those that may fail by the \
                         objective of availability. Above 1, a month like this \
                         breaks the promise.",
                        &[(
                            &format!(
                                "sum({}) / (sum({}) > 0) / scalar(1 - \
                                 slo:objective:ratio{{slo=\"availability\"}})",
                                counted(FAILED),
                                counted("")
                            ),
                            "used",
                        )],
                    )
                    .stat()
                    .wide(6)
                    .bad_from(1.0),
                    panel(
                        "p99 in this range",
                        "s",
                        "Of a hundred requests, 99 were answered within it. It lies \
                         in the right bucket, or one beside it.",
                        &[(
                            "histogram_quantile(0.99, sum by (le) \
                             (max_over_time(tovar_gateway_request_duration_seconds_bucket\
                             [$__range]) - \
                             min_over_time(tovar_gateway_request_duration_seconds_bucket\
                             [$__range])))",
                            "p99",
                        )],
                    )
                    .stat()
                    .wide(6),
                ],
            },
        ],
    }
}

const FAILED: &str = "{status=~\"5xx|unreachable\"}";

/// The number of requests in the range, by series. Not by `increase`, which extrapolates to the
/// whole range.
fn counted(labels: &str) -> String {
    let series = format!("tovar_gateway_requests_total{labels}[$__range]");
    format!("max_over_time({series}) - min_over_time({series})")
}

fn burn(short: &str, long: &str, limit: f64) -> Panel {
    let rate = |window: &str| {
        format!(
            "slo:error_ratio:rate{window}{{slo=~\"$slo\"}} / on (slo) \
             group_left () (1 - slo:objective:ratio)"
        )
    };
    let what = if limit > 5.0 {
        "pages somebody"
    } else {
        "makes a ticket"
    };
    let description = format!("Both windows above {limit} {what}.");
    let (short_rate, long_rate) = (rate(short), rate(long));
    let (short_legend, long_legend) = (
        format!("{{{{slo}}}} {short}"),
        format!("{{{{slo}}}} {long}"),
    );
    panel(
        &format!("{long} and {short}"),
        "x",
        &description,
        &[(&long_rate, &long_legend), (&short_rate, &short_legend)],
    )
    .wide(12)
    .bad_from(limit)
}
