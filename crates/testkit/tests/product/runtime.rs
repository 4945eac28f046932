//! What other languages build by hand and Rust or tokio bring along: clean-up on leaving a scope, one instance however
//! many ask first, a pool for blocking work. The product leans on these behaviours; here they are shown.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

type Log = Mutex<Vec<&'static str>>;

/// Runs its closure when the scope is left.
struct OnLeaving<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnLeaving<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[derive(Clone, Copy)]
enum Way {
    Return,
    Error,
    Panic,
}

fn leave(way: Way, log: &Log) -> Result<(), String> {
    let note = |what| move || log.lock().unwrap().push(what);
    let _first = OnLeaving(note("first"));
    let _second = OnLeaving(note("second"));
    match way {
        Way::Return => return Ok(()),
        Way::Error => Err("no")?,
        Way::Panic => std::panic::resume_unwind(Box::new("on purpose")),
    }
    log.lock().unwrap().push("never");
    Ok(())
}

#[test]
fn whatever_the_way_out_guards_run_last_in_first_out() {
    for way in [Way::Return, Way::Error, Way::Panic] {
        let log = Log::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| leave(way, &log)));
        assert_eq!(*log.lock().unwrap(), ["second", "first"]);
        assert_eq!(outcome.is_err(), matches!(way, Way::Panic));
    }
}

/// A future that is dropped half-way leaves its scopes, too: that is how a lost client frees what it held.
#[tokio::test]
async fn a_cancelled_task_runs_its_guards() {
    let log = Arc::new(Log::default());
    let (started, has_started) = tokio::sync::oneshot::channel();
    let inner = log.clone();
    let task = tokio::spawn(async move {
        let _outer = OnLeaving(|| inner.lock().unwrap().push("outer"));
        let _inner = OnLeaving(|| inner.lock().unwrap().push("inner"));
        started.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    has_started.await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(*log.lock().unwrap(), ["inner", "outer"]);
}

#[test]
fn sixty_four_threads_that_ask_first_get_one_instance() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static INSTANCE: OnceLock<usize> = OnceLock::new();
    let barrier = Barrier::new(64);
    let found: Vec<usize> = std::thread::scope(|scope| {
        let ask = || {
            barrier.wait();
            let instance = INSTANCE.get_or_init(|| MADE.fetch_add(1, Ordering::SeqCst));
            std::ptr::from_ref(instance).addr()
        };
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.iter().all(|instance| *instance == found[0]));
    assert_eq!(MADE.load(Ordering::SeqCst), 1);
}

/// As `skein serve` builds it: a worker a core, and a bounded pool for what blocks.
fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().max_blocking_threads(64).build().unwrap()
}

#[test]
fn the_default_number_of_workers_is_that_of_the_cores() {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(runtime().metrics().num_workers(), cores);
}

#[test]
fn ten_thousand_blocking_tasks_of_sixteen_threads_all_complete() {
    let runtime = runtime();
    let runs = Arc::new(AtomicUsize::new(0));
    let sums: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16_usize)
            .map(|thread| {
                let (handle, runs) = (runtime.handle(), &runs);
                scope.spawn(move || {
                    let commit = |n: usize| {
                        let runs = runs.clone();
                        handle.spawn_blocking(move || {
                            runs.fetch_add(1, Ordering::Relaxed);
                            thread * 625 + n
                        })
                    };
                    let tasks: Vec<_> = (0..625).map(commit).collect();
                    tasks.into_iter().map(|task| handle.block_on(task).unwrap()).sum()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(runs.load(Ordering::Relaxed), 10_000, "each ran once");
    assert_eq!(sums.iter().sum::<usize>(), 9_999 * 10_000 / 2, "each gave its own value back");
}

#[test]
fn a_failed_blocking_task_fails_alone() {
    let runtime = runtime();
    let failed = runtime.block_on(runtime.spawn_blocking(|| std::panic::resume_unwind(Box::new("on purpose"))));
    assert!(failed.is_err_and(|error| error.is_panic()));
    assert_eq!(runtime.block_on(runtime.spawn_blocking(|| 7)).unwrap(), 7);
}

#[test]
fn a_pool_that_stops_under_load_loses_no_task_and_doubles_none() {
    const THREADS: usize = 64;
    let runtime = runtime();
    let (started, finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Mutex::new(()));
    let shut = gate.lock().unwrap();
    let commit = |_| {
        let (started, finished, gate) = (started.clone(), finished.clone(), gate.clone());
        runtime.spawn_blocking(move || {
            started.fetch_add(1, Ordering::SeqCst);
            drop(gate.lock());
            finished.fetch_add(1, Ordering::SeqCst);
        })
    };
    let tasks: Vec<_> = (0..1_000).map(commit).collect();
    wait_until(|| started.load(Ordering::SeqCst) == THREADS);
    runtime.shutdown_background();
    drop(shut);

    // Whoever waits for a task is told: it ran to its end, or it never began.
    let waiting = Builder::new_current_thread().build().unwrap();
    let outcomes: Vec<_> = tasks.into_iter().map(|task| waiting.block_on(task)).collect();
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(|error| error.is_cancelled()));
    assert!(done >= THREADS, "{done} ran, and {THREADS} had begun");
    assert_eq!((started.load(Ordering::SeqCst), finished.load(Ordering::SeqCst)), (done, done));
    wait_until(|| Arc::strong_count(&started) == 1);
}

fn wait_until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 seconds");
        std::thread::yield_now();
    }
}
