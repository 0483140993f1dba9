use super::{Board, Row, panel};
use crate::Objective;

pub fn board(objectives: &[Objective]) -> Board {
    let left = objectives.iter().map(|objective| {
        let query = format!("slo:budget_left:ratio{{slo=\"{}\"}}", objective.name);
        let percent = (objective.target * 1e5).round() / 1e3;
        let description = format!(
            "{}: {percent} % over 30 days is promised. Shown is what is \
             left of the share that may be bad.",
            objective.description
        );
        panel(
            &objective.name,
            "percentunit",
            &description,
            &[(&query, "budget left")],
        )
        .stat()
        .wide(6)
        .bad_below(0.0)
    });
    Board {
        uid: "slo-overview",
        title: "SLO overview",
        description: "What the store promises, and what is left of each error \
                      budget.",
        variable: None,
        rows: vec![
            Row {
                title: "Error budget that is left of 30 days",
                panels: left.collect(),
            },
            Row {
                title: "Now",
                panels: vec![
                    panel(
                        "Burn rate, one hour",
                        "x",
                        "How many times as fast as allowed each budget burns. From \
                         14.4 on somebody is paged.",
                        &[(
                            "slo:error_ratio:rate1h / on (slo) group_left () (1 - \
                             slo:objective:ratio)",
                            "{{slo}}",
                        )],
                    )
                    .wide(12)
                    .bad_from(14.4),
                    panel(
                        "Share that is good, over 30 days",
                        "percentunit",
                        "Compare it with the objective: the SLO detail board shows \
                         both.",
                        &[("1 - slo:error_ratio:rate30d", "{{slo}}")],
                    )
                    .wide(12),
                    panel(
                        "Alerts that fire",
                        "short",
                        "How many alerts fire now, by their name. 0 when all is well.",
                        &[(
                            "count by (alertname) (ALERTS{alertstate=\"firing\"}) or \
                             vector(0)",
                            "{{alertname}}",
                        )],
                    )
                    .wide(12)
                    .bad_from(1.0),
                    panel(
                        "Budget that is left",
                        "percentunit",
                        "All budgets over time. A step down is an outage.",
                        &[("slo:budget_left:ratio", "{{slo}}")],
                    )
                    .wide(12)
                    .bad_below(0.0),
                ],
            },
        ],
    }
}
