/// How much is read at a time: at most so many rows, and so many bytes.
///
/// PostgreSQL can be told of rows only; to have it add up their sizes costs a tenth of all that a
/// backlog takes. So it is asked for as many rows as would fit if they were as large as the last
/// ones, and at most for twice as many as the time before. Where they turn out larger, those that
/// fit are kept and the rest is let go as it comes in.
#[derive(Clone, Debug)]
pub struct Portion {
    most_rows: i64,
    most_bytes: usize,
    rows: i64,
}

/// As long as nothing is known of their sizes.
const FIRST_ROWS: i64 = 64;

impl Portion {
    /// At most `rows` and `bytes`. A single row goes whatever its size.
    pub fn new(rows: i64, bytes: usize) -> Self {
        Self {
            most_rows: rows,
            most_bytes: bytes,
            rows: rows.min(FIRST_ROWS),
        }
    }

    /// How many rows to ask for.
    pub(super) fn rows(&self) -> i64 {
        self.rows
    }

    /// Whether a row of `size` still fits behind `rows` that have `bytes`.
    pub(super) fn fits(&self, rows: usize, bytes: usize, size: usize) -> bool {
        rows == 0 || bytes + size <= self.most_bytes
    }

    /// Learns from what came.
    pub(super) fn came(&mut self, rows: usize, bytes: usize) {
        if rows == 0 {
            return;
        }
        let fitting = i64::try_from(self.most_bytes / (bytes / rows).max(1)).unwrap_or(i64::MAX);
        self.rows = fitting.min(self.rows * 2).clamp(1, self.most_rows.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_rows_are_soon_read_by_the_page() {
        let mut portion = Portion::new(1000, 1_000_000);
        let mut asked = Vec::new();
        for _ in 0..6 {
            asked.push(portion.rows());
            let rows = usize::try_from(portion.rows()).unwrap();
            portion.came(rows, rows * 400);
        }
        assert_eq!(asked, [64, 128, 256, 512, 1000, 1000]);
    }

    #[test]
    fn of_large_rows_only_as_many_are_asked_for_as_fit() {
        let mut portion = Portion::new(1000, 1_000_000);
        portion.came(64, 64 * 300_000);
        assert_eq!(portion.rows(), 3);
        portion.came(1, 3_000_000);
        assert_eq!(portion.rows(), 1);
        portion.came(0, 0);
        assert_eq!(portion.rows(), 1, "nothing is learnt from nothing");
        portion.came(1, 400);
        assert_eq!(portion.rows(), 2);
    }

    #[test]
    fn one_row_goes_whatever_its_size() {
        let portion = Portion::new(1000, 100);
        assert!(portion.fits(0, 0, 1_000_000));
        assert!(portion.fits(1, 60, 40));
        assert!(!portion.fits(1, 61, 40));
    }
}
