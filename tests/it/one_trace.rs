use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use kernel::TraceParent;
use reqwest::Method;
use serde_json::Value;
use telemetry::{LogFormat, LogSettings, traces::TraceSettings};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tovar::client::wait_for;

use crate::harness::{Catalogue, Store, WITHIN};

/// A collector that takes OTLP over HTTP as JSON.
#[derive(Clone, Default)]
struct Collector {
    /// By span id; the service that exported it is put in.
    spans: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move { own.take(stream).await });
            }
        });
        (collector, address)
    }

    /// Requests of one connection, one after the other.
    async fn take(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut first, mut length) = (String::new(), 0);
            stream.read_line(&mut first).await?;
            if first.is_empty() {
                return Ok(());
            }
            assert!(first.starts_with("POST /v1/traces "), "{first}");
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await?;
                match line.to_lowercase().trim().split_once(": ") {
                    Some(("content-length", bytes)) => length = bytes.parse().unwrap(),
                    Some(("content-type", form)) => assert_eq!(form, "application/json"),
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            self.keep(&serde_json::from_slice(&body).unwrap());
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .await?;
        }
    }

    fn keep(&self, message: &Value) {
        for resource in message["resourceSpans"].as_array().unwrap() {
            let service = attribute(&resource["resource"], "service.name").unwrap();
            for span in resource["scopeSpans"][0]["spans"].as_array().unwrap() {
                let mut span = span.clone();
                span["service"] = service.clone().into();
                let id = span["spanId"].as_str().unwrap().to_owned();
                self.spans.lock().unwrap().insert(id, span);
            }
        }
    }

    /// The trace that was begun for a request of this step of another one.
    fn trace_caused_by(&self, step: TraceParent) -> Option<String> {
        let spans = self.spans.lock().unwrap();
        let mut caused = spans.values().filter(|span| {
            let link = &span["links"][0];
            link["traceId"] == step.trace_id() && link["spanId"] == step.span_id()
        });
        let (first, other) = (caused.next()?, caused.next());
        assert_eq!(other, None);
        Some(first["traceId"].as_str().unwrap().to_owned())
    }

    fn spans_of(&self, trace_id: &str) -> BTreeMap<String, Value> {
        let spans = self.spans.lock().unwrap();
        let of_trace = spans.iter().filter(|(_, span)| span["traceId"] == trace_id);
        of_trace
            .map(|(id, span)| (id.clone(), span.clone()))
            .collect()
    }
}

fn attribute(of: &Value, name: &str) -> Option<String> {
    let all = of["attributes"].as_array()?;
    let found = all.iter().find(|attribute| attribute["key"] == name)?;
    Some(found["value"]["stringValue"].as_str()?.to_owned())
}

/// Keeps all lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Value>>>);

impl Lines {
    fn of(&self, trace_id: &str) -> Vec<Value> {
        let lines = self.0.lock().unwrap();
        let of_trace = lines
            .iter()
            .filter(|line| line.to_string().contains(trace_id));
        of_trace.cloned().collect()
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let read = serde_json::from_slice(line).expect("a line of JSON");
        self.0.lock().unwrap().push(read);
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_is_one_trace_from_its_request_to_its_delivery_and_its_log_lines_say_so() {
    let customers_step = TraceParent::root();
    let lines = Lines::default();
    let log = LogSettings {
        log: "info,inbox=debug,service_kit=debug,librdkafka=error".to_owned(),
        log_format: LogFormat::Json,
    };
    let writer = lines.clone();
    telemetry::writing_to(&log, move || writer.clone());
    let (collector, address) = Collector::start().await;
    telemetry::traces::export(&TraceSettings {
        otlp_endpoint: Some(format!("http://{address}").parse().unwrap()),
    });

    let store = Store::start().await;
    let catalogue = Catalogue::open(&store, 10, 10).await;
    let customer = store.guest.new_customer(5_000).await.unwrap();
    let headers = [
        ("Idempotency-Key", "one-order"),
        ("traceparent", &*customers_step.to_string()),
    ];
    let body = catalogue.order(1);
    let placed = customer
        .send_with(Method::POST, "/api/orders", Some(&body), &headers)
        .await
        .unwrap();
    let order = placed.success().unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        customer.finished(&order, WITHIN).await.unwrap()["status"],
        "delivered"
    );

    // The events of the order. Each is created and sent once, and processed by each service that
    // listens to it.
    let route = [
        ("orders.placed.v1", vec!["billing"]),
        ("billing.held.v1", vec!["orders", "warehouse"]),
        ("warehouse.reserved.v1", vec!["delivery", "orders"]),
        ("delivery.booked.v1", vec!["billing", "orders"]),
        ("billing.captured.v1", vec!["orders", "warehouse"]),
        (
            "warehouse.shipped.v1",
            vec!["delivery", "notifications", "orders"],
        ),
        ("delivery.delivered.v1", vec!["orders"]),
        ("orders.finished.v1", vec!["notifications"]),
    ];
    let count = 2 + route
        .iter()
        .map(|(_, listeners)| 2 + listeners.len())
        .sum::<usize>();
    let mut trace_id = String::new();
    wait_for("all spans to arrive", WITHIN, async || {
        trace_id = collector
            .trace_caused_by(customers_step)
            .unwrap_or_default();
        let found = collector.spans_of(&trace_id).len();
        anyhow::ensure!(found >= count, "{found} spans of {count}");
        Ok(true)
    })
    .await
    .unwrap();
    let spans = collector.spans_of(&trace_id);
    assert_eq!(spans.len(), count, "{spans:#?}");

    // A client's trace is linked to the store's trace, and not continued.
    assert_ne!(trace_id, customers_step.trace_id());
    assert_eq!(
        collector.spans_of(&customers_step.trace_id()),
        BTreeMap::new()
    );
    assert_eq!(lines.of(&customers_step.trace_id()), Vec::<Value>::new());
    is_one_tree(&spans, &route, &order);
    say_what_they_are_about(&lines.of(&trace_id), &trace_id, &order);
    store.stop().await;
}

/// Every span is below the span that caused it.
fn is_one_tree(
    spans: &BTreeMap<String, Value>,
    route: &[(&'static str, Vec<&'static str>)],
    order: &str,
) {
    let parent = |span: &Value| spans.get(span["parentSpanId"].as_str().unwrap_or_default());
    let named = |name: &str| {
        let found = spans.values().filter(|span| span["name"] == name);
        found.cloned().collect::<Vec<Value>>()
    };
    let [at_gateway, at_orders] = &named("POST /api/orders")[..] else {
        panic!("{:?}", named("POST /api/orders"));
    };
    let (at_gateway, at_orders) = if at_gateway["service"] == "gateway" {
        (at_gateway, at_orders)
    } else {
        (at_orders, at_gateway)
    };
    assert_eq!(at_gateway["parentSpanId"], Value::Null);
    assert_eq!(parent(at_orders), Some(at_gateway));
    assert_eq!(
        attribute(at_orders, "http.response.status_code").as_deref(),
        Some("201")
    );

    for (event, listeners) in route {
        let producer = event.split('.').next().unwrap();
        let created = &named(&format!("create {event}"))[0];
        assert_eq!(
            (&created["service"], &created["kind"]),
            (&producer.into(), &4.into())
        );
        let cause = parent(created).unwrap_or_else(|| panic!("{event} has no cause"));
        assert_eq!(
            cause["service"], producer,
            "{event} is caused in its own service"
        );
        let sent = &named(&format!("send {event}"))[0];
        assert_eq!(sent["service"], format!("{producer}-relay"));
        assert_eq!(sent["links"][0]["spanId"], created["spanId"]);
        assert_eq!(parent(sent), Some(created));
        let processed = named(&format!("process {event}"));
        assert!(
            processed
                .iter()
                .all(|step| step["kind"] == 5 && parent(step) == Some(created)),
            "{event}"
        );
        let by: BTreeSet<&str> = processed
            .iter()
            .filter_map(|step| step["service"].as_str())
            .collect();
        assert_eq!(by, listeners.iter().copied().collect(), "{event}");
        assert_eq!(
            attribute(created, "messaging.kafka.message.key").as_deref(),
            Some(order)
        );
    }
}

fn say_what_they_are_about(lines: &[Value], trace_id: &str, order: &str) {
    let answered = lines.iter().find(|line| line["message"] == "answered");
    let answered = answered.unwrap_or_else(|| panic!("{lines:#?}"));
    assert_eq!(
        (&answered["order_id"], &answered["route"]),
        (&order.into(), &"/api/orders".into())
    );
    let applied: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"] == "applied")
        .collect();
    assert_eq!(applied.len(), 14, "{applied:#?}");
    for line in applied {
        assert_eq!(
            (&line["order_id"], &line["trace_id"]),
            (&order.into(), &trace_id.into())
        );
        assert!(
            line["event_id"].as_str().is_some_and(|id| id.len() == 36),
            "{line}"
        );
    }
}
