use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

/// Runs a future, and drops it at its await number `awaits` (from 0), as a crash there would.
/// `None` if it was dropped; its output if it ended before.
///
/// A test that passes 0, 1, 2 and so on, until the future ends by itself, cancels it at each of its
/// awaits. The code of the future needs no hook for this.
pub async fn cancel_at_await<F: Future>(future: F, awaits: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = awaits;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::task::yield_now;

    use super::cancel_at_await;

    #[tokio::test]
    async fn each_await_is_an_end() {
        let done = Cell::new(0);
        let work = async || {
            done.set(0);
            yield_now().await;
            done.set(1);
            yield_now().await;
            done.set(2);
        };
        for (awaits, expected) in [(0, None), (1, None), (2, Some(())), (3, Some(()))] {
            assert_eq!(cancel_at_await(work(), awaits).await, expected);
            assert_eq!(done.get(), awaits.min(2));
        }
    }
}
