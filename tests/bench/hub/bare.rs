//! The engines by themselves.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::{
    sync::{broadcast, mpsc},
    task::JoinSet,
};

use crate::{Fallible, median};

/// From a send into a channel until the last of so many receivers, tasks on two threads, has it.
pub(crate) fn channel(receivers: usize, rounds: u32) -> Fallible<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(async {
        let (sender, _) = broadcast::channel::<u32>(16);
        let (heard, mut all_heard) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for _ in 0..receivers {
            let (mut receiver, heard) = (sender.subscribe(), heard.clone());
            tasks.spawn(async move {
                while receiver.recv().await.is_ok() {
                    let _ = heard.send(Instant::now());
                }
            });
        }
        let mut times = Vec::new();
        for round in 0..rounds {
            let began = Instant::now();
            sender.send(round)?;
            let mut last = began;
            for _ in 0..receivers {
                last = all_heard.recv().await.ok_or("no receiver")?.max(last);
            }
            times.push(last - began);
        }
        Ok(median(times))
    })
}

/// Messages a second that arrive through a channel at so many receivers.
pub(crate) fn channel_throughput(receivers: usize) -> Fallible<f64> {
    const MESSAGES: u32 = 2_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(async {
        let (sender, _) = broadcast::channel::<u32>(MESSAGES as usize);
        let mut tasks = JoinSet::new();
        for _ in 0..receivers {
            let mut receiver = sender.subscribe();
            tasks.spawn(async move {
                for _ in 0..MESSAGES {
                    let _ = receiver.recv().await;
                }
            });
        }
        let began = Instant::now();
        for message in 0..MESSAGES {
            sender.send(message)?;
        }
        while tasks.join_next().await.is_some() {}
        Ok(f64::from(MESSAGES) * receivers as f64 / began.elapsed().as_secs_f64())
    })
}

/// A read of one key, and a write of one that is on the disk, by SQLite as the store has it.
pub(crate) fn sqlite(dir: &Path, rounds: u32) -> Fallible<(Duration, Duration)> {
    let connection = Connection::open(dir.join("bare.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")?;
    let mut put = connection.prepare("INSERT OR REPLACE INTO entries VALUES (?1, ?2)")?;
    let mut get = connection.prepare("SELECT value FROM entries WHERE key = ?1")?;
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let began = Instant::now();
        put.execute(params!["votes", format!("{{\"yes\":{round}}}")])?;
        writes.push(began.elapsed());
        let began = Instant::now();
        let value: Option<String> = get.query_row(["votes"], |row| row.get(0)).optional()?;
        reads.push(began.elapsed());
        value.ok_or("it is not there")?;
    }
    Ok((median(reads), median(writes)))
}
