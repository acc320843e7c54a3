//! One socket, between a function that takes and a channel that gives; time stands still and is moved.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{DuplexStream, duplex},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{
            Role,
            frame::{
                Frame as WireFrame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    session::{Frame, SessionGone},
    web::socket::{Left, MAX_OUTSTANDING, SocketLimits, run},
    wire::Close,
};

const LIMITS: SocketLimits = SocketLimits { max_frame: 1 << 20, send_timeout: Duration::from_secs(10) };

/// A browser, and the server's side of it at work.
struct Pair {
    browser: WebSocketStream<DuplexStream>,
    outbox: mpsc::Sender<Frame>,
    received: Arc<Mutex<Vec<String>>>,
    /// A permit for each text that may be done with.
    gate: Arc<Semaphore>,
    stop: CancellationToken,
    task: JoinHandle<Left>,
}

async fn pair(pipe: usize, outbox: usize) -> Pair {
    let (near, far) = duplex(pipe);
    let browser = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let server = WebSocketStream::from_raw_socket(far, Role::Server, Some(LIMITS.websocket_config())).await;
    let (outbox, frames) = mpsc::channel(outbox);
    let received = Arc::new(Mutex::new(Vec::new()));
    let gate = Arc::new(Semaphore::new(0));
    let stop = CancellationToken::new();
    let receive = {
        let (received, gate) = (Arc::clone(&received), Arc::clone(&gate));
        move |text: String| {
            let (received, gate) = (Arc::clone(&received), Arc::clone(&gate));
            async move {
                // As a session does: queued at the first poll, done later.
                let gone = text == "end";
                received.lock().expect("unpoisoned").push(text);
                gate.acquire().await.expect("open").forget();
                if gone { Err(SessionGone) } else { Ok(()) }
            }
        }
    };
    let task = tokio::spawn(run(Box::new(server), frames, Arc::default(), receive, stop.clone(), LIMITS));
    Pair { browser, outbox, received, gate, stop, task }
}

impl Pair {
    fn received(&self) -> Vec<String> {
        self.received.lock().expect("unpoisoned").clone()
    }

    async fn left(self) -> Left {
        timeout(Duration::from_secs(600), self.task).await.expect("ended").expect("no panic")
    }

    async fn close_code(&mut self) -> Option<(CloseCode, String)> {
        while let Some(Ok(message)) = self.browser.next().await {
            if let Message::Close(close) = message {
                return close.map(|close| (close.code, close.reason.to_string()));
            }
        }
        None
    }
}

/// Lets every task go on until all of them wait.
async fn all_wait() {
    // The clock of a paused runtime moves only when there is nothing else to do.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn two_hundred_quick_frames_arrive_in_order() {
    let mut pair = pair(64 << 10, 64).await;
    pair.gate.add_permits(200);
    let texts: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    for text in &texts {
        pair.browser.feed(Message::text(text.clone())).await.expect("fed");
    }
    pair.browser.flush().await.expect("flushed");
    all_wait().await;
    assert_eq!(pair.received(), texts);
}

#[tokio::test(start_paused = true)]
async fn a_socket_is_not_read_while_its_session_is_behind() {
    let mut pair = pair(64 << 10, 64).await;
    for n in 0..MAX_OUTSTANDING * 2 {
        pair.browser.send(Message::text(n.to_string())).await.expect("sent");
    }
    all_wait().await;
    assert_eq!(pair.received().len(), MAX_OUTSTANDING);

    // Neither is it given up for its silence, nor does it miss what is sent to it.
    tokio::time::sleep(Duration::from_secs(300)).await;
    pair.outbox.send("[]".to_owned().into()).await.expect("taken");
    let mut next = pair.browser.next().await;
    while let Some(Ok(Message::Ping(_))) = next {
        next = pair.browser.next().await;
    }
    assert_eq!(next.expect("open").expect("a frame"), Message::text("[]"));

    pair.gate.add_permits(1);
    all_wait().await;
    assert_eq!(pair.received().len(), MAX_OUTSTANDING + 1);
    pair.gate.add_permits(MAX_OUTSTANDING * 2);
    all_wait().await;
    assert_eq!(pair.received().len(), MAX_OUTSTANDING * 2);
}

#[tokio::test(start_paused = true)]
async fn queued_frames_leave_in_order_and_long_ones_whole() {
    let mut pair = pair(1 << 10, 64).await;
    let texts: Vec<_> = (0..40).map(|n| format!("[{}]", "é".repeat(n * 1000))).collect();
    for text in &texts {
        pair.outbox.try_send(text.clone().into()).expect("room");
    }
    for text in &texts {
        let message = pair.browser.next().await.expect("open").expect("a frame");
        assert_eq!(message, Message::text(text.clone()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_takes_nothing_is_given_up_after_the_send_timeout() {
    let pair = pair(1 << 10, 64).await;
    let start = Instant::now();
    pair.outbox.send("x".repeat(100 << 10).into()).await.expect("taken");
    let Pair { browser, task, .. } = pair;
    assert_eq!(task.await.expect("no panic"), Left::Stalled);
    let took = start.elapsed();
    assert!(took >= LIMITS.send_timeout && took < LIMITS.send_timeout * 2, "{took:?}");
    drop(browser);
}

#[tokio::test(start_paused = true)]
async fn a_slow_browser_that_takes_each_frame_in_time_is_kept() {
    let mut pair = pair(1 << 10, 64).await;
    for _ in 0..4 {
        pair.outbox.send("x".repeat(8000).into()).await.expect("taken");
    }
    for _ in 0..4 {
        tokio::time::sleep(LIMITS.send_timeout * 2 / 3).await;
        let message = pair.browser.next().await.expect("open").expect("a frame");
        assert_eq!(message.len(), 8000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_browser_is_given_up_and_one_that_answers_pings_is_kept() {
    let silent = pair(64 << 10, 64).await;
    let start = Instant::now();
    let Pair { browser, task, outbox, .. } = silent;
    assert_eq!(task.await.expect("no panic"), Left::Silent);
    assert_eq!(start.elapsed().as_secs(), 75);
    drop((browser, outbox));

    let mut pair = pair(64 << 10, 64).await;
    let start = Instant::now();
    let mut pings = 0;
    while pings < 10 {
        // Reading is answering: tungstenite sends the pong.
        if let Message::Ping(_) = pair.browser.next().await.expect("open").expect("a frame") {
            pings += 1;
        }
    }
    // Each of them waits for the next beat.
    assert!((300..=305).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn pings_of_different_sockets_leave_together() {
    let mut pinged = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let Pair { mut browser, outbox, .. } = pair(64 << 10, 64).await;
        pinged.spawn(async move {
            while !browser.next().await.expect("open").expect("a frame").is_ping() {}
            drop(outbox);
            Instant::now()
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let moments: std::collections::BTreeSet<_> = pinged.join_all().await.into_iter().collect();
    // In 200 ms there is one beat at most.
    assert!(moments.len() <= 2, "{moments:?}");
}

#[tokio::test(start_paused = true)]
async fn a_browsers_ping_is_answered() {
    let mut pair = pair(64 << 10, 64).await;
    pair.browser.send(Message::Ping("hello".into())).await.expect("sent");
    assert_eq!(pair.browser.next().await.expect("open").expect("a frame"), Message::Pong("hello".into()));
}

#[tokio::test(start_paused = true)]
async fn binary_frames_are_text_if_they_can_be() {
    let mut pair = pair(64 << 10, 64).await;
    pair.browser.send(Message::binary(b"[]".to_vec())).await.expect("sent");
    pair.browser.send(Message::binary(vec![0xff])).await.expect("sent");
    let answer = pair.browser.next().await.expect("open").expect("a frame").into_text().expect("text");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer[0]["type"], "error");
    assert_eq!(answer[0]["data"]["code"], "bad-message");
    assert_eq!(answer[0]["data"]["varId"], 1);
    assert_eq!(pair.received(), ["[]"]);
    assert!(!pair.task.is_finished(), "the socket stays");
}

#[tokio::test(start_paused = true)]
async fn text_that_is_not_utf8_closes_with_1007() {
    let mut pair = pair(64 << 10, 64).await;
    let frame = WireFrame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    pair.browser.send(Message::Frame(frame)).await.expect("sent");
    assert_eq!(pair.close_code().await.expect("a code").0, CloseCode::Invalid);
    assert_eq!(pair.left().await, Left::Violation(Close::NOT_TEXT));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_grows_too_large_in_fragments_closes_with_1009() {
    let mut pair = pair(4 << 20, 64).await;
    for (kind, last) in [(Data::Text, false), (Data::Continue, false), (Data::Continue, true)] {
        let frame = WireFrame::message(vec![b'x'; 500 << 10], OpCode::Data(kind), last);
        pair.browser.send(Message::Frame(frame)).await.expect("sent");
    }
    assert_eq!(pair.close_code().await.expect("a code").0, CloseCode::Size);
    assert_eq!(pair.left().await, Left::Violation(Close::TOO_LARGE));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_session_closes_after_its_last_words() {
    let mut pair = pair(64 << 10, 64).await;
    pair.outbox.send("[1]".to_owned().into()).await.expect("taken");
    drop(std::mem::replace(&mut pair.outbox, mpsc::channel(1).0));
    assert_eq!(pair.browser.next().await.expect("open").expect("a frame"), Message::text("[1]"));
    assert_eq!(pair.close_code().await, Some((CloseCode::Away, "session ended".into())));
    assert_eq!(pair.left().await, Left::SessionEnded);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_gone_when_a_frame_comes_closes() {
    let mut pair = pair(64 << 10, 64).await;
    pair.gate.add_permits(1);
    pair.browser.send(Message::text("end")).await.expect("sent");
    assert_eq!(pair.close_code().await, Some((CloseCode::Away, "session ended".into())));
    assert_eq!(pair.left().await, Left::SessionEnded);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_server_says_so_even_while_it_sends() {
    for stalled in [false, true] {
        let mut pair = pair(1 << 10, 64).await;
        if stalled {
            pair.outbox.send("x".repeat(100 << 10).into()).await.expect("taken");
        }
        all_wait().await;
        let start = Instant::now();
        pair.stop.cancel();
        if !stalled {
            assert_eq!(pair.close_code().await, Some((CloseCode::Away, "server stopping".into())));
        }
        assert_eq!(pair.left().await, Left::Stopped);
        assert!(start.elapsed() <= Duration::from_millis(1100), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_says_goodbye_gets_its_answer() {
    let mut pair = pair(64 << 10, 64).await;
    pair.browser.close(None).await.expect("sent");
    assert!(matches!(pair.browser.next().await, Some(Ok(Message::Close(_)))));
    assert_eq!(pair.left().await, Left::ClosedByBrowser);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_no_violation() {
    let pair = pair(64 << 10, 64).await;
    let Pair { browser, task, outbox, .. } = pair;
    drop(browser);
    assert_eq!(task.await.expect("no panic"), Left::Lost);
    drop(outbox);
}
