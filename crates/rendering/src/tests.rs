use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

fn id(name: &str) -> OrganizationId {
    name.parse().expect("an id")
}

fn renderer(waiting: Option<usize>) -> Renderer {
    Renderer::new(RendererLimits { permits: 2, waiting })
}

/// Runs until it is interrupted, as templates do.
fn endless(interrupt: &Interrupt) {
    while !interrupt.is_raised() {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_rendering_that_takes_too_long_is_stopped_while_others_continue() {
    let renderer = renderer(None);
    let (stopped, ended) = mpsc::channel();
    let slow = {
        let renderer = renderer.clone();
        tokio::spawn(async move {
            let slow = move |interrupt: &Interrupt| {
                endless(interrupt);
                stopped.send(()).expect("the test waits");
            };
            renderer.run(&id("slow"), slow).await
        })
    };
    // Two permits, of which an organization has one.
    let quick = renderer.run(&id("quick"), |_| 1).await;
    assert_eq!(quick, Ok(1));
    assert!(!slow.is_finished(), "nobody waited for it");
    assert_eq!(slow.await.expect("no panic"), Err(RenderingError::TooSlow));
    ended.recv_timeout(Duration::from_secs(10)).expect("it has really ended");
}

#[tokio::test]
async fn an_abandoned_rendering_stops_or_does_not_start() {
    let renderer = renderer(None);
    let began = Arc::new(AtomicUsize::new(0));
    let (stopped, ended) = mpsc::channel();
    let task = |stopped: mpsc::Sender<()>| {
        let (renderer, began) = (renderer.clone(), Arc::clone(&began));
        tokio::spawn(async move {
            let slow = move |interrupt: &Interrupt| {
                began.fetch_add(1, Ordering::SeqCst);
                endless(interrupt);
                stopped.send(()).expect("the test waits");
            };
            renderer.run(&id("a"), slow).await
        })
    };
    let first = task(stopped.clone());
    while began.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let second = task(stopped);
    tokio::task::yield_now().await;
    for abandoned in [second, first] {
        abandoned.abort();
        assert!(abandoned.await.is_err_and(|error| error.is_cancelled()));
    }
    ended.recv_timeout(Duration::from_secs(1)).expect("it stopped long before its time was over");
    // The permit is free again.
    assert_eq!(renderer.run(&id("a"), |_| ()).await, Ok(()));
    assert_eq!(began.load(Ordering::SeqCst), 1, "the second one never began");
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_panic_frees_its_place() {
    let renderer = renderer(Some(0));
    let (go, wait) = mpsc::channel::<()>();
    let (began, begun) = tokio::sync::oneshot::channel();
    let first = {
        let renderer = renderer.clone();
        tokio::spawn(async move {
            let slow = move |_: &Interrupt| {
                _ = began.send(());
                _ = wait.recv();
            };
            renderer.run(&id("a"), slow).await
        })
    };
    begun.await.expect("it began");
    assert_eq!(renderer.run(&id("a"), |_| ()).await, Err(RenderingError::Busy));
    go.send(()).expect("it waits");
    assert_eq!(first.await.expect("no panic"), Ok(()));
    // A panic, without the backtrace, which takes longer than renderings may.
    let broken = |_: &Interrupt| -> () { std::panic::resume_unwind(Box::new(())) };
    let panicking = renderer.run(&id("a"), broken).await;
    assert_eq!(panicking, Err(RenderingError::Failed));
    assert_eq!(renderer.run(&id("a"), |_| 1).await, Ok(1));
}
