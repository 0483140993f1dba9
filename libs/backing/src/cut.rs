use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

/// Ends a future at an await, as a crash there would: it waits so many times, and is dropped when
/// it would wait once more. `None` if that was before its end.
///
/// With 0, 1, 2 and so on, until it comes to its end, a test ends it at each await, and no line of
/// it knows.
pub async fn cut<F: Future>(future: F, awaits: usize) -> Option<F::Output> {
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

    use super::cut;

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
            assert_eq!(cut(work(), awaits).await, expected);
            assert_eq!(done.get(), awaits.min(2));
        }
    }
}
