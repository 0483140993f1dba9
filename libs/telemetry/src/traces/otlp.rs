use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use http_body_util::Full;
use hyper::{Request, Uri, body::Bytes, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::span::{DROPPED, EXPORTED, FinishedSpan, Job};

/// How long the exporter waits after the first span of a batch for more of them.
const BATCH_DELAY: Duration = Duration::from_millis(200);
/// Spans in one request at most.
const BATCH_MAX_SPANS: usize = 1000;
/// How long the collector may take for its answer; then the batch is dropped and counted.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the address of the collector cannot be used")]
    Address(#[from] hyper::http::Error),
    #[error("the collector cannot be reached")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    #[error("the collector answered {0}")]
    Refused(hyper::StatusCode),
    #[error("the collector does not answer")]
    Late(#[from] tokio::time::error::Elapsed),
}

/// Sends spans to the collector in batches, for as long as the process lives.
pub(super) async fn run(endpoint: Uri, mut jobs: mpsc::Receiver<Job>) {
    let target = format!("{}/v1/traces", endpoint.to_string().trim_end_matches('/'));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut was_away = false;
    let mut batch = Vec::with_capacity(BATCH_MAX_SPANS);
    while let Some(first) = jobs.recv().await {
        batch.push(first);
        if matches!(batch[0], Job::Export(_)) {
            tokio::time::sleep(BATCH_DELAY).await;
        }
        while batch.len() < BATCH_MAX_SPANS
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        let (mut spans, mut flushes) = (Vec::new(), Vec::new());
        for job in batch.drain(..) {
            match job {
                Job::Export(span) => spans.push(span),
                Job::Flush(done) => flushes.push(done),
            }
        }
        if !spans.is_empty() {
            let count = spans.len() as u64;
            let sent = send(&client, &target, &spans).await;
            let counter = if sent.is_ok() { &EXPORTED } else { &DROPPED };
            counter.fetch_add(count, Ordering::Relaxed);
            if let Err(error) = &sent
                && !was_away
            {
                tracing::warn!(
                    error = kernel::cause_chain(error),
                    target,
                    "trace spans are not exported"
                );
            }
            was_away = sent.is_err();
        }
        for done in flushes {
            // An error means that the caller of flush() has stopped waiting.
            let _ = done.send(());
        }
    }
}

async fn send(
    client: &Client<HttpConnector, Full<Bytes>>,
    target: &str,
    spans: &[Box<FinishedSpan>],
) -> Result<(), ExportError> {
    let request = Request::post(target)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(export_request(spans).to_string()))?;
    let answer = tokio::time::timeout(REQUEST_TIMEOUT, client.request(request)).await??;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(ExportError::Refused(answer.status()))
    }
}

/// The spans as an `ExportTraceServiceRequest`, grouped by service.
fn export_request(spans: &[Box<FinishedSpan>]) -> Value {
    let mut by_service = BTreeMap::<&str, Vec<Value>>::new();
    for span in spans {
        by_service
            .entry(&span.service)
            .or_default()
            .push(span_json(span));
    }
    let resources: Vec<Value> = by_service
        .into_iter()
        .map(|(service, spans)| {
            json!({
                "resource": { "attributes": [
                    attribute("service.name", service),
                    attribute("service.namespace", "tovar"),
                    attribute("service.version", env!("CARGO_PKG_VERSION")),
                ] },
                "scopeSpans": [{ "scope": { "name": "tovar" }, "spans": spans }],
            })
        })
        .collect();
    json!({ "resourceSpans": resources })
}

fn span_json(span: &FinishedSpan) -> Value {
    let attributes = span.attributes.iter();
    let attributes: Vec<Value> = attributes
        .map(|(name, value)| attribute(name, value))
        .collect();
    let mut written = json!({
        "traceId": span.own.trace_id(),
        "spanId": span.own.span_id(),
        "name": span.name,
        "kind": span.kind as i32,
        "startTimeUnixNano": nanos(span.began),
        "endTimeUnixNano": nanos(span.ended),
        "attributes": attributes,
    });
    if let Some(parent) = span.parent {
        written["parentSpanId"] = parent.span_id().into();
    }
    if let Some(link) = span.link {
        written["links"] = json!([{ "traceId": link.trace_id(), "spanId": link.span_id() }]);
    }
    if let Some(failure) = &span.failure {
        // 2 is STATUS_CODE_ERROR.
        written["status"] = json!({ "code": 2, "message": failure });
    }
    written
}

fn attribute(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}

/// 64-bit numbers are strings in OTLP's JSON.
fn nanos(at: SystemTime) -> String {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos()
        .to_string()
}
