/// How much is read at a time: it bounds the rows and the bytes of a page.
///
/// PostgreSQL can be asked for a number of rows only. To have it add up their sizes costs a tenth
/// of the time that a backlog takes. So it is asked for as many rows as would fit if they were as
/// large as the last ones, and for at most twice as many as the time before. Where they turn out to
/// be larger, the rows that fit are kept and the others are dropped as they come in.
#[derive(Clone, Debug)]
pub struct PageSize {
    rows_max: i64,
    bytes_max: usize,
    /// How many rows to ask for next.
    rows: i64,
}

/// The rows to ask for while nothing is known of their sizes.
const FIRST_ROWS: i64 = 64;

impl PageSize {
    /// A page of at most `rows` and `bytes`. A single row is read whatever its size.
    pub fn new(rows: i64, bytes: usize) -> Self {
        Self {
            rows_max: rows,
            bytes_max: bytes,
            rows: rows.min(FIRST_ROWS),
        }
    }

    /// How many rows to ask for.
    pub(super) fn rows(&self) -> i64 {
        self.rows
    }

    /// Whether a row of `size` bytes fits behind `rows` that have `bytes`.
    pub(super) fn fits(&self, rows: usize, bytes: usize, size: usize) -> bool {
        rows == 0 || bytes + size <= self.bytes_max
    }

    /// Adapts the rows to ask for to the sizes of those that came.
    pub(super) fn adapt(&mut self, rows: usize, bytes: usize) {
        if rows == 0 {
            return;
        }
        let fitting = i64::try_from(self.bytes_max / (bytes / rows).max(1)).unwrap_or(i64::MAX);
        self.rows = fitting.min(self.rows * 2).clamp(1, self.rows_max.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_rows_are_soon_read_by_the_page() {
        let mut page_size = PageSize::new(1000, 1_000_000);
        let mut asked = Vec::new();
        for _ in 0..6 {
            asked.push(page_size.rows());
            let rows = usize::try_from(page_size.rows()).unwrap();
            page_size.adapt(rows, rows * 400);
        }
        assert_eq!(asked, [64, 128, 256, 512, 1000, 1000]);
    }

    #[test]
    fn of_large_rows_only_as_many_are_asked_for_as_fit() {
        let mut page_size = PageSize::new(1000, 1_000_000);
        page_size.adapt(64, 64 * 300_000);
        assert_eq!(page_size.rows(), 3);
        page_size.adapt(1, 3_000_000);
        assert_eq!(page_size.rows(), 1);
        page_size.adapt(0, 0);
        assert_eq!(page_size.rows(), 1, "nothing is learnt from nothing");
        page_size.adapt(1, 400);
        assert_eq!(page_size.rows(), 2);
    }

    #[test]
    fn one_row_goes_whatever_its_size() {
        let page_size = PageSize::new(1000, 100);
        assert!(page_size.fits(0, 0, 1_000_000));
        assert!(page_size.fits(1, 60, 40));
        assert!(!page_size.fits(1, 61, 40));
    }
}
