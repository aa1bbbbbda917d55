use std::future::poll_fn;

use tokio::time::sleep;

use super::*;
use crate::relay::count;

/// The next beat; whether no data has moved since the one before.
async fn beat(pulse: &mut Pulse, timer: &mut Pin<Box<Sleep>>, traffic: &Traffic) -> bool {
    let beat = poll_fn(|cx| pulse.poll(cx, timer.as_mut(), traffic));
    tokio::time::timeout(2 * BEAT, beat).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_beats_while_data_moves_and_once_after() {
    let traffic = Traffic::default();
    let (mut pulse, mut timer) = (Pulse::default(), Box::pin(sleep(BEAT)));
    // Something may lie there from before the relay.
    assert!(beat(&mut pulse, &mut timer, &traffic).await);
    for _ in 0..3 {
        let stopped = poll_fn(|cx| pulse.poll(cx, timer.as_mut(), &traffic));
        tokio::time::timeout(10 * BEAT, stopped).await.unwrap_err();
        for _ in 0..4 {
            count(&traffic.opened, 1);
            let moving = poll_fn(|cx| pulse.poll(cx, timer.as_mut(), &traffic));
            tokio::time::timeout(BEAT / 2, moving).await.unwrap_err();
            count(&traffic.sealed, 1);
            assert!(!beat(&mut pulse, &mut timer, &traffic).await);
        }
        assert!(beat(&mut pulse, &mut timer, &traffic).await);
    }
}
