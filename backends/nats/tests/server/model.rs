//! Random calls from many at once, against what must come of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hotloader_nats::{Write, WriteError};
use hotloader_test_support::{
    nats::{NatsServer, Version},
    on_each_nats, until,
};
use tokio::task::JoinSet;

use crate::harness::{Server, put};

on_each_nats! {
    changes_by_fifty_writers_of_one_key_are_neither_lost_nor_doubled,
    whatever_many_servers_do_at_once_all_end_with_the_same_and_no_change_is_lost,
}

async fn servers(nats: &NatsServer, count: usize) -> Vec<Arc<Server>> {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(Arc::new(Server::on(&nats.url()).await));
    }
    servers
}

async fn changes_by_fifty_writers_of_one_key_are_neither_lost_nor_doubled(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let servers = servers(&nats, 2).await;
    let mut writers = JoinSet::new();
    for writer in 0..50 {
        let server = servers[writer % 2].clone();
        writers.spawn(async move {
            for _ in 0..4 {
                server.add("n", 1).await.unwrap();
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    for server in servers {
        server.sees("n", Some("200")).await;
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

async fn whatever_many_servers_do_at_once_all_end_with_the_same_and_no_change_is_lost(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let servers = servers(&nats, 3).await;
    let mut writers = JoinSet::new();
    for writer in 0..12_u64 {
        let server = servers[writer as usize % servers.len()].clone();
        writers.spawn(async move {
            let mut dice = Dice(0x9E37_79B9 + writer);
            let mut added = BTreeMap::new();
            for _ in 0..60 {
                let counter = format!("counter {}", dice.below(3));
                let key = format!("key {}", dice.below(4));
                match dice.below(6) {
                    0 | 1 => {
                        let more = i64::try_from(dice.below(10)).unwrap();
                        server.add(&counter, more).await.unwrap();
                        *added.entry(counter).or_insert(0) += more;
                    }
                    2 => drop(server.set(&key, &dice.below(1000).to_string()).await),
                    3 => server.delete(&key).await,
                    4 => {
                        let ttl = Some(Duration::from_millis(1 + dice.below(30)));
                        server.write(Write { ttl, ..put(&key, "0") }).await.unwrap();
                    }
                    _ => match server.write(Write { expected: Some(0), ..put(&key, "1") }).await {
                        Ok(_) | Err(WriteError::Conflict) => {}
                        Err(error) => panic!("{error}"),
                    },
                }
            }
            added
        });
    }
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    while let Some(added) = writers.join_next().await {
        for (counter, more) in added.unwrap() {
            *sums.entry(counter).or_insert(0) += more;
        }
    }
    for (counter, sum) in &sums {
        for server in &servers {
            server.sees(counter, Some(&sum.to_string())).await;
        }
    }
    let late = Server::on(&nats.url()).await;
    until("all to be the same", async || {
        servers.iter().all(|server| server.entries() == late.entries()).then_some(())
    })
    .await;
}
