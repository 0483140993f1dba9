//! Alerts as an outage raises them, sent to a real Alertmanager with `grafana/alertmanager.yml`:
//! one page per cause is left.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{is_installed, run};

const DEADLINE: Duration = Duration::from_secs(60);

/// An Alertmanager that ends with the test.
struct Alertmanager {
    process: Child,
    folder: PathBuf,
    address: String,
    /// The notifications: the receiver's path and the alerts' name.
    notified: mpsc::Receiver<(String, String)>,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Alertmanager {
    fn start(name: &str) -> Self {
        let (receiver, notified) = receiver();
        let config = fs::read_to_string(slo::folder().join("alertmanager.yml")).unwrap();
        let mut config = config.replace("group_wait: 30s", "group_wait: 1s");
        for name in ["page", "ticket"] {
            let (silent, telling) = (
                format!("\n  - name: {name}\n"),
                format!(
                    "\n  - \
                     {{ name: {name}, webhook_configs: [{{ url: 'http://{receiver}/{name}' }}] }}\n"
                ),
            );
            assert!(config.contains(&silent), "a receiver that does nothing");
            config = config.replace(&silent, &telling);
        }
        let folder = std::env::temp_dir().join(format!("tovar-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("alertmanager.yml");
        fs::write(&file, config).unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let process = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let alertmanager = Self {
            process,
            folder,
            address,
            notified,
        };
        let deadline = Instant::now() + DEADLINE;
        while !alertmanager.amtool(&["config", "show"]) {
            assert!(Instant::now() < deadline, "the Alertmanager does not start");
        }
        alertmanager
    }

    fn amtool(&self, arguments: &[&str]) -> bool {
        let url = format!("--alertmanager.url=http://{}", self.address);
        let mut amtool = Command::new("amtool");
        amtool
            .args(arguments)
            .arg(url)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        amtool.status().unwrap().success()
    }

    /// Labels by line, or by word.
    fn raise(&self, labels: &str) {
        let by = if labels.contains('\n') { '\n' } else { ' ' };
        let labels: Vec<&str> = ["alert", "add"]
            .into_iter()
            .chain(labels.split(by))
            .collect();
        assert!(self.amtool(&labels), "{labels:?}");
    }

    /// The notifications up to that of the alert that was raised last, which nothing inhibits.
    fn notifications_until(&self, last: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let deadline = Instant::now() + DEADLINE;
        while all.iter().all(|(_, alert)| alert != last) {
            let left = deadline.saturating_duration_since(Instant::now());
            all.push(self.notified.recv_timeout(left).expect("a notification"));
        }
        all.retain(|(_, alert)| alert != last);
        all.sort();
        all
    }
}

/// Receives webhooks, one connection after the other.
fn receiver() -> (String, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, notified) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                lines.push(line.to_lowercase());
            }
            let length = lines
                .iter()
                .find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
            stream.read_exact(&mut body).unwrap();
            let message: Value = serde_json::from_slice(&body).unwrap();
            let path = lines[0].split(' ').nth(1).unwrap().to_owned();
            let alert = message["commonLabels"]["alertname"]
                .as_str()
                .unwrap()
                .to_owned();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
            if sender.send((path, alert)).is_err() {
                return;
            }
        }
    });
    (address, notified)
}

const SLO_PAGE: &str =
    "alertname=SloBurnsFast slo=orders-30s service=orders severity=page layer=symptom";
const STAND_STILL: &str = "alertname=OrdersStandStill severity=page layer=symptom";
const STUCK: &str = "alertname=OutboxStuck service=orders severity=page layer=symptom";
const RELAY: &str = "alertname=RelayStopped service=orders severity=page layer=pipeline";

/// Raises alerts; returns the notifications about them.
fn left_of(name: &str, alerts: &[&str]) -> Option<Vec<(String, String)>> {
    if !is_installed("prometheus-alertmanager", "prometheus-alertmanager") {
        return None;
    }
    let alertmanager = Alertmanager::start(name);
    for alert in alerts {
        alertmanager.raise(alert);
    }
    // Its group waits as long as those of the others, so their notifications have come when its own
    // comes.
    alertmanager.raise("alertname=Last severity=page layer=fact");
    Some(alertmanager.notifications_until("Last"))
}

/// Fails unless `alerts` leave one page for `cause`, where an Alertmanager is installed.
pub fn leaves_one_page(name: &str, cause: &str, alerts: &[&str]) {
    // A cause waits less than its consequences, so it is notified first.
    let mut alerts = alerts.to_vec();
    alerts.sort_by_key(|alert| !alert.contains(cause));
    if let Some(left) = left_of(name, &alerts) {
        assert_eq!(left, [("/page".to_owned(), cause.to_owned())], "{name}");
    }
}

#[test]
fn a_stopped_kafka_is_one_page() {
    let consumer = "alertname=ConsumerStuck service=billing severity=page layer=pipeline";
    let kafka = "alertname=KafkaAway severity=page layer=infrastructure";
    leaves_one_page(
        "kafka",
        "KafkaAway",
        &[STUCK, STAND_STILL, SLO_PAGE, consumer, kafka],
    );
}

#[test]
fn a_database_that_is_away_is_one_page_for_all_services_on_it() {
    let slow = "alertname=DatabaseSlow service=billing severity=page layer=infrastructure";
    let away = |service| {
        format!("alertname=DatabaseAway service={service} severity=page layer=infrastructure")
    };
    let (orders, billing) = (away("orders"), away("billing"));
    let pool = "alertname=PoolExhausted service=orders severity=ticket layer=symptom";
    leaves_one_page(
        "database",
        "DatabaseAway",
        &[slow, RELAY, STAND_STILL, pool, SLO_PAGE, &orders, &billing],
    );
}

#[test]
fn a_stopped_relay_is_one_page() {
    leaves_one_page(
        "relay",
        "RelayStopped",
        &[STUCK, STAND_STILL, SLO_PAGE, RELAY],
    );
}

#[test]
fn a_refused_event_is_one_page_with_the_orders_that_stand_still_for_it() {
    let attention = "alertname=OrderNeedsAttention reason=stop_overdue severity=page layer=symptom";
    let refused = "alertname=EventRefused service=orders severity=page layer=parked";
    leaves_one_page(
        "refused",
        "EventRefused",
        &[attention, STAND_STILL, refused],
    );
}

#[test]
fn a_slow_database_is_one_page() {
    let slow = "alertname=DatabaseSlow service=billing severity=page layer=infrastructure";
    let placing = "alertname=SloBurnsFast slo=placing service=gateway severity=page layer=symptom";
    leaves_one_page(
        "slow",
        "DatabaseSlow",
        &[placing, SLO_PAGE, STAND_STILL, slow],
    );
}

#[test]
fn a_stuck_saga_without_another_cause_is_one_page() {
    let past = "alertname=OrdersPastDeadline severity=page layer=symptom";
    let attention = "alertname=OrderNeedsAttention reason=stop_overdue severity=page layer=symptom";
    leaves_one_page(
        "saga",
        "OrdersPastDeadline",
        &[SLO_PAGE, attention, STAND_STILL, past],
    );
}

#[test]
fn a_budget_that_burns_fast_makes_no_ticket_as_well() {
    let slowly =
        "alertname=SloBurnsSlowly slo=orders-30s service=orders severity=ticket layer=symptom";
    leaves_one_page("slo", "SloBurnsFast", &[slowly, SLO_PAGE]);
}

#[test]
fn two_causes_are_two_notifications() {
    let parked = "alertname=EventParked service=orders severity=page layer=parked";
    let kafka = "alertname=KafkaAway severity=page layer=infrastructure";
    let Some(left) = left_of("two", &[parked, kafka]) else {
        return;
    };
    let alerts: Vec<&str> = left.iter().map(|(_, alert)| alert.as_str()).collect();
    assert_eq!(alerts, ["EventParked", "KafkaAway"]);
}

#[test]
fn the_example_configuration_is_valid() {
    if is_installed("amtool", "prometheus-alertmanager") {
        run("amtool", &["check-config", "alertmanager.yml"]);
    }
}
