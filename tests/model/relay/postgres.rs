//! PostgreSQL in small: what it promises about transaction ids, snapshots, locks and crashes, and
//! no more.

use std::fmt;

use outbox::log::Cursor;

use super::log;

/// A `pg_snapshot`: which transactions had ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// One past the latest that had ended; not past the latest that had begun.
    pub xmax: u8,
    /// Those before it that had not, a bit for each.
    pub xip: u32,
}

impl Snapshot {
    /// `pg_visible_in_snapshot`. It knows nothing of aborted transactions, whose rows no query sees
    /// anyway.
    pub fn sees(self, xid: u8) -> bool {
        xid < self.xmax && !self.is_open(xid)
    }

    pub fn is_open(self, xid: u8) -> bool {
        self.xip & (1 << xid) != 0
    }

    pub fn xmin(self) -> u8 {
        (0..self.xmax)
            .find(|xid| self.is_open(*xid))
            .unwrap_or(self.xmax)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open: Vec<_> = (0..self.xmax)
            .filter(|xid| self.is_open(*xid))
            .map(|xid| xid.to_string())
            .collect();
        write!(f, "{}:{}:{}", self.xmin(), self.xmax, open.join(","))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    A,
    B,
}

impl Key {
    pub const ALL: [Self; 2] = [Self::A, Self::B];
}

/// An event by its transaction and its place in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Event {
    pub of: u8,
    pub nth: u8,
    pub key: Key,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = if self.nth == 0 { "" } else { "'" };
        write!(f, "{:?}{}{again}", self.key, self.of + 1)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    NotBegun,
    Open,
    Committed,
    Aborted,
}

/// A transaction that publishes an event for each of its keys, one after the other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Transaction {
    pub keys: &'static [Key],
    pub state: State,
    pub xid: u8,
    pub rows: Vec<Row>,
}

/// A row of the outbox.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Row {
    pub event: Event,
    pub xid: u8,
    pub position: i64,
    pub bucket: u8,
    /// Until its bucket is emptied.
    pub is_there: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Postgres {
    pub transactions: Vec<Transaction>,
    next_xid: u8,
    /// One past the latest transaction that has ended.
    xmax: u8,
    next_position: i64,
    /// The ids below are on disk: no crash gives them to others.
    on_disk: u8,
    pub saved: Cursor<Snapshot>,
    /// The saved cursor as it is on disk: it is saved without waiting for that.
    pub saved_on_disk: Cursor<Snapshot>,
    /// The bucket that rows are written to. Those before it are older than the retention.
    pub bucket: u8,
}

impl Postgres {
    pub fn new(transactions: &[&'static [Key]]) -> Self {
        let start = Cursor {
            acknowledged: Snapshot { xmax: 1, xip: 0 },
            target: None,
        };
        let transaction = |keys: &&'static [Key]| Transaction {
            keys,
            state: State::NotBegun,
            xid: 0,
            rows: Vec::new(),
        };
        Self {
            transactions: transactions.iter().map(transaction).collect(),
            next_xid: 1,
            xmax: 1,
            next_position: 1,
            on_disk: 1,
            saved: start.clone(),
            saved_on_disk: start,
            bucket: 0,
        }
    }

    /// `pg_current_snapshot()`.
    pub fn snapshot(&self) -> Snapshot {
        let open = self.open().filter(|open| open.xid < self.xmax);
        Snapshot {
            xmax: self.xmax,
            xip: open.fold(0, |xip, open| xip | 1 << open.xid),
        }
    }

    fn open(&self) -> impl Iterator<Item = &Transaction> {
        self.transactions
            .iter()
            .filter(|transaction| transaction.state == State::Open)
    }

    pub fn is_quiet(&self) -> bool {
        self.open().next().is_none()
    }

    /// Every committed row, also those that were truncated.
    pub fn committed(&self) -> impl Iterator<Item = &Row> {
        let committed = self
            .transactions
            .iter()
            .filter(|transaction| transaction.state == State::Committed);
        committed.flat_map(|transaction| &transaction.rows)
    }

    /// The rows of the outbox that a query sees.
    pub fn visible(&self) -> impl Iterator<Item = &Row> {
        self.committed().filter(|row| row.is_there)
    }

    /// Adds the transaction's next event, unless it must wait for its turn. With the first one it
    /// draws its id.
    pub fn publish(&mut self, index: usize) -> Option<()> {
        let transaction = &self.transactions[index];
        let nth = transaction.rows.len();
        let key = *transaction.keys.get(nth)?;
        let others = self.transactions.iter().enumerate();
        let of_others = others
            .filter(|(other, transaction)| *other != index && transaction.state == State::Open)
            .flat_map(|(_, other)| &other.rows);
        if !log::may_publish(key, of_others) {
            return None;
        }
        let event = Event {
            of: u8::try_from(index).ok()?,
            nth: u8::try_from(nth).ok()?,
            key,
        };
        let transaction = &mut self.transactions[index];
        if transaction.state == State::NotBegun {
            transaction.state = State::Open;
            transaction.xid = self.next_xid;
            self.next_xid += 1;
        }
        transaction.rows.push(Row {
            event,
            xid: transaction.xid,
            position: self.next_position,
            bucket: self.bucket,
            is_there: true,
        });
        self.next_position += 1;
        Some(())
    }

    /// Visible only once it is on disk, and with it all that was written before.
    pub fn commit(&mut self, index: usize) {
        self.end(index, State::Committed);
        self.on_disk = self.on_disk.max(self.transactions[index].xid + 1);
        self.flush();
    }

    pub fn abort(&mut self, index: usize) {
        self.end(index, State::Aborted);
        self.transactions[index].rows.clear();
    }

    fn end(&mut self, index: usize, state: State) {
        let transaction = &mut self.transactions[index];
        transaction.state = state;
        self.xmax = self.xmax.max(transaction.xid + 1);
    }

    /// Saves the cursor. The saving transaction's own id is past all that the cursor speaks of:
    /// with the one the others are on disk.
    pub fn save(&mut self, cursor: Cursor<Snapshot>, is_flushed: bool) {
        self.saved = cursor;
        if is_flushed {
            self.flush();
        }
    }

    /// What was saved is on disk.
    fn flush(&mut self) {
        self.saved_on_disk = self.saved.clone();
        let latest = self
            .saved
            .target
            .map_or(self.saved.acknowledged, |(target, _)| target);
        self.on_disk = self.on_disk.max(latest.xmax);
    }

    /// Time passes: what is there is older than the retention, and rows go to another bucket.
    pub fn turn(&mut self) {
        self.bucket += 1;
    }

    /// Empties an old bucket, if it may. That waits for its writers, and is on disk at once.
    pub fn empty(&mut self, bucket: u8) -> Option<()> {
        let of_bucket = |row: &&Row| row.bucket == bucket && row.is_there;
        let is_written_to = self
            .open()
            .any(|open| open.rows.iter().any(|row| of_bucket(&row)));
        let rows: Vec<Row> = self.visible().filter(of_bucket).copied().collect();
        if rows.is_empty() || !log::may_empty(&rows, is_written_to, &self.saved) {
            return None;
        }
        let all = self
            .transactions
            .iter_mut()
            .flat_map(|transaction| &mut transaction.rows);
        for row in all.filter(|row| row.bucket == bucket) {
            row.is_there = false;
        }
        self.flush();
        Some(())
    }

    /// The ids that may be next after a crash: what is not on disk is forgotten, from some point
    /// on.
    pub fn next_after_a_crash(&self) -> impl Iterator<Item = u8> + use<> {
        self.on_disk..=self.next_xid
    }

    /// Stops immediately and starts again. Its open transactions are gone.
    pub fn crash(&mut self, next_xid: u8) {
        for index in 0..self.transactions.len() {
            if self.transactions[index].state == State::Open {
                self.abort(index);
            }
        }
        self.saved = self.saved_on_disk.clone();
        self.next_xid = next_xid;
        self.xmax = next_xid;
        self.on_disk = next_xid;
    }
}
