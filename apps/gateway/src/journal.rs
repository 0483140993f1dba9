//! The journal of requests: a JSON line for each answer. A thread of its own writes the file, so
//! that no request waits for a disk.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    thread,
    time::Duration,
};

use kernel::{Clock, TraceParent};
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio::sync::oneshot;

use crate::templates::Template;

/// Lines that may wait for the disk; further ones are dropped and counted.
const QUEUE_MAX_LINES: usize = 16_384;

pub struct Journal {
    entries: SyncSender<Entry>,
    clock: Clock,
    dropped: Counter,
}

enum Entry {
    Line(String),
    Flush(oneshot::Sender<()>),
}

impl Journal {
    /// Appends to the file; makes it if it does not exist.
    pub fn open(path: &Path, dropped: Counter) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (entries, waiting) = sync_channel(QUEUE_MAX_LINES);
        let lost = dropped.clone();
        thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write(BufWriter::new(file), &waiting, &lost))?;
        Ok(Self {
            entries,
            clock: Clock::system(),
            dropped,
        })
    }

    /// Adds the line of an answer that begins. `class` is the class of its status in the metrics.
    pub fn note(
        &self,
        template: Template,
        status: u16,
        class: &'static str,
        took: Duration,
        trace: TraceParent,
    ) {
        let line = json!({
            "at": self.clock.now().to_rfc3339(),
            "method": template.method,
            "route": template.route,
            "status": status,
            "class": class,
            "seconds": took.as_secs_f64(),
            "trace_id": trace.trace_id(),
        });
        if self
            .entries
            .try_send(Entry::Line(line.to_string()))
            .is_err()
        {
            self.dropped.inc();
        }
    }

    /// Waits until all lines so far are in the file.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let mut entry = Entry::Flush(done);
        while let Err(TrySendError::Full(again)) = self.entries.try_send(entry) {
            entry = again;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // An error means that the thread has ended: there is nothing to wait for.
        let _ = written.await;
    }
}

fn write(mut file: BufWriter<File>, entries: &Receiver<Entry>, lost: &Counter) {
    let mut failing = false;
    let mut put = |outcome: io::Result<()>| {
        if let Err(error) = &outcome {
            lost.inc();
            if !failing {
                tracing::error!(%error, "the journal cannot be written");
            }
        }
        failing = outcome.is_err();
    };
    loop {
        let entry = match entries.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Empty) => {
                put(file.flush());
                match entries.recv() {
                    Ok(entry) => entry,
                    Err(_) => return,
                }
            }
            Err(TryRecvError::Disconnected) => return put(file.flush()),
        };
        match entry {
            Entry::Line(line) => put(writeln!(file, "{line}")),
            Entry::Flush(done) => {
                put(file.flush());
                // An error means that the caller of flush() has stopped waiting.
                let _ = done.send(());
            }
        }
    }
}
