use std::future::poll_fn;

use super::*;

/// Whether the stream is to rest when it is polled now.
async fn rests(quiet: &mut Quiet, timer: &mut Pin<Box<Sleep>>, traffic: &Traffic) -> bool {
    poll_fn(|cx| Poll::Ready(quiet.poll(cx, timer.as_mut(), traffic).is_ready())).await
}

#[tokio::test(start_paused = true)]
async fn a_stream_rests_once_when_its_data_has_stopped() {
    let traffic = Traffic::default();
    let (mut quiet, mut timer) = (Quiet::default(), Box::pin(sleep(QUIET)));
    tokio::time::advance(10 * QUIET).await;
    assert!(
        !rests(&mut quiet, &mut timer, &traffic).await,
        "it rests already"
    );
    for round in 0..3 {
        for _ in 0..10 {
            count(&traffic.sealed, 1);
            assert!(!rests(&mut quiet, &mut timer, &traffic).await, "{round}");
            tokio::time::advance(QUIET * 3 / 4).await;
        }
        let resting = poll_fn(|cx| quiet.poll(cx, timer.as_mut(), &traffic));
        tokio::time::timeout(2 * QUIET, resting).await.unwrap();
        assert!(!rests(&mut quiet, &mut timer, &traffic).await, "{round}");
    }
}
