//! Grafana's boards, each a file of rows and panels. What all of them share, such as the variable
//! for the data source and the panels' positions, is added when they are generated.
#![expect(
    clippy::too_many_lines,
    reason = "a board is one list of rows and panels, with no logic in it"
)]

mod consumers;
mod load;
mod outbox;
mod postgres;
mod red;
mod saga;
mod slo_detail;
mod slo_overview;

use serde_json::{Value, json};

use crate::Objective;

/// All boards.
pub fn all(objectives: &[Objective]) -> Vec<Board> {
    vec![
        slo_overview::board(objectives),
        slo_detail::board(),
        red::board(),
        outbox::board(),
        saga::board(),
        consumers::board(),
        postgres::board(),
        load::board(),
    ]
}

/// A board. The widths of the panels of a row add up to 24.
pub struct Board {
    uid: &'static str,
    title: &'static str,
    description: &'static str,
    /// Another variable than the data source: its name, and the query for its values.
    variable: Option<(&'static str, &'static str)>,
    rows: Vec<Row>,
}

pub struct Row {
    title: &'static str,
    panels: Vec<Panel>,
}

/// A graph over time, or with [`Panel::stat`] its last value as a number.
#[derive(Clone)]
pub struct Panel {
    title: String,
    description: String,
    unit: &'static str,
    sort: &'static str,
    width: u32,
    queries: Vec<(String, String)>,
    /// The threshold of a bad value, and whether values below it are the bad ones.
    limit: Option<(f64, bool)>,
}

const HEIGHT: u32 = 8;
const STAT_HEIGHT: u32 = 4;

/// A panel with a third of a row's width, with queries and their legends.
pub fn panel(
    title: &str,
    unit: &'static str,
    description: &str,
    queries: &[(&str, &str)],
) -> Panel {
    Panel {
        title: title.to_owned(),
        description: description.to_owned(),
        unit,
        sort: "timeseries",
        width: 8,
        queries: queries
            .iter()
            .map(|(query, legend)| ((*query).to_owned(), (*legend).to_owned()))
            .collect(),
        limit: None,
    }
}

impl Panel {
    /// Shows the last value as a number.
    #[must_use]
    pub fn stat(self) -> Self {
        Self {
            sort: "stat",
            ..self
        }
    }

    #[must_use]
    pub fn wide(self, width: u32) -> Self {
        Self { width, ..self }
    }

    /// Values from `threshold` up are bad.
    #[must_use]
    pub fn bad_from(self, limit: f64) -> Self {
        Self {
            limit: Some((limit, false)),
            ..self
        }
    }

    /// Values from `threshold` down are bad.
    #[must_use]
    pub fn bad_below(self, limit: f64) -> Self {
        Self {
            limit: Some((limit, true)),
            ..self
        }
    }

    fn height(&self) -> u32 {
        if self.sort == "stat" {
            STAT_HEIGHT
        } else {
            HEIGHT
        }
    }

    fn json(&self, id: usize, (x, y): (u32, u32)) -> Value {
        let targets = self
            .queries
            .iter()
            .zip('A'..)
            .map(|((query, legend), name)| {
                json!({
                    "refId": name.to_string(), "expr": query, "legendFormat": legend,
                    "datasource": source(),
                })
            });
        let steps = match self.limit {
            None => json!([{ "color": "green", "value": null }]),
            Some((limit, false)) => {
                json!([{ "color": "green", "value": null }, { "color": "red", "value": limit }])
            }
            Some((limit, true)) => {
                json!([{ "color": "red", "value": null }, { "color": "green", "value": limit }])
            }
        };
        let custom = if self.sort == "timeseries" {
            let style = if self.limit.is_some() { "line" } else { "off" };
            json!({
                "drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "never",
                "thresholdsStyle": { "mode": style },
            })
        } else {
            json!({})
        };
        let color = if self.sort == "stat" {
            "thresholds"
        } else {
            "palette-classic"
        };
        let options = if self.sort == "stat" {
            json!({
                "reduceOptions": { "calcs": ["lastNotNull"] }, "colorMode": "value",
                "graphMode": "area", "textMode": "auto",
            })
        } else {
            json!({
                "legend": { "displayMode": "list", "placement": "bottom" },
                "tooltip": { "mode": "multi", "sort": "desc" },
            })
        };
        let defaults = json!({
            "unit": self.unit, "custom": custom, "color": { "mode": color },
            "thresholds": { "mode": "absolute", "steps": steps },
        });
        json!({
            "id": id, "type": self.sort, "title": self.title, "description": self.description,
            "gridPos": { "x": x, "y": y, "w": self.width, "h": self.height() },
            "datasource": source(), "targets": targets.collect::<Vec<_>>(),
            "fieldConfig": { "defaults": defaults, "overrides": [] }, "options": options,
        })
    }
}

/// The data source that the viewer has chosen.
fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

impl Board {
    pub fn uid(&self) -> &'static str {
        self.uid
    }

    /// The JSON that Grafana imports.
    pub fn json(&self) -> String {
        let mut variables = vec![json!({
            "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data \
                source", "current": {}, "hide": 0,
        })];
        variables.extend(self.variable.map(|(name, query)| {
            json!({
                "name": name, "type": "query", "datasource": source(),
                "query": { "query": query, "refId": "variable" },
                "definition": query, "includeAll": true, "allValue": ".*", "multi": true,
                "refresh": 2, "sort": 1,
                "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
            })
        }));
        let board = json!({
            "uid": format!("tovar-{}", self.uid), "title": format!("Tovar: {}", self.title),
            "description": self.description,
            "tags": ["tovar"], "schemaVersion": 39, "version": 1, "editable": true,
            "refresh": "10s",
            "time": { "from": "now-30m", "to": "now" }, "timezone": "browser",
            "templating": { "list": variables }, "annotations": { "list": [] },
            "panels": self.panels(),
            "links": [{
                "type": "dashboards", "tags": ["tovar"], "title": "Boards", "asDropdown": true,
                "keepTime": true,
            }],
        });
        serde_json::to_string_pretty(&board).expect("a board is JSON") + "\n"
    }

    fn panels(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut y = 0;
        for row in &self.rows {
            all.push(json!({
                "id": all.len() + 1, "type": "row", "title": row.title, "collapsed": false,
                "panels": [],
                "gridPos": { "x": 0, "y": y, "w": 24, "h": 1 },
            }));
            y += 1;
            let (mut x, mut height) = (0, 0);
            for panel in &row.panels {
                if x + panel.width > 24 {
                    (x, y, height) = (0, y + height, 0);
                }
                all.push(panel.json(all.len() + 1, (x, y)));
                x += panel.width;
                height = height.max(panel.height());
            }
            y += height;
        }
        all
    }
}
