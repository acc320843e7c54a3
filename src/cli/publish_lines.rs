//! What `publish` and `fleet` tell: lines for people on stderr, and at the end one on stdout that a script can read.

use crate::fleet::{Ended, Pointer, Progress, Stage, Tally, Wave};

/// A line for people; `None` where there is nothing to say.
pub(super) fn line(progress: &Progress, pointer: &Pointer) -> Option<String> {
    match progress {
        Progress::Sent { blobs, of, bytes } => {
            Some(format!("sent {blobs} of {of} parts, {} KiB", bytes.div_ceil(1024)))
        }
        Progress::Written(pointer) => Some(written(pointer)),
        Progress::Answers(tally) => (tally.servers > tally.silent.len()).then(|| answers(tally, pointer.seq)),
    }
}

fn written(pointer: &Pointer) -> String {
    let seq = pointer.seq;
    match &pointer.wave {
        _ if pointer.note.is_empty() && pointer.stage == Stage::Settled => {
            format!("generation {seq} is settled: new servers begin with it")
        }
        _ if !pointer.note.is_empty() => format!("generation {seq}: {}", pointer.note),
        Wave::All => format!("generation {seq} for all servers"),
        Wave::Some { share: 0, names } => {
            let listed = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let more = if names.len() > 5 { ", …" } else { "" };
            format!("generation {seq} for {} servers first: {listed}{more}", names.len())
        }
        Wave::Some { share, .. } => format!("generation {seq} for {} of 100 servers", share / 10),
    }
}

fn answers(tally: &Tally, seq: u64) -> String {
    let verb = if tally.applied == 1 { "applies" } else { "apply" };
    let mut text = format!("{} of {} servers {verb} generation {seq}", tally.applied, tally.servers);
    if tally.kept > 0 {
        let first = tally.diagnostics.first().map(|text| format!(": {text}")).unwrap_or_default();
        text += &format!("; {} of {} sessions keep the version before{first}", tally.kept, tally.sessions);
    }
    if let Some((server, why)) = tally.refused.first() {
        text += &format!("; {} refused: {why} ({server})", tally.refused.len());
    }
    if let Some((server, why)) = tally.waiting.first() {
        text += &format!("; {} waiting: {why} ({server})", tally.waiting.len());
    }
    text
}

/// The last line: `key=value` words, always the same ones.
pub(super) fn result(pointer: &Pointer, tally: &Tally, state: &str) -> String {
    format!(
        "published site={} generation={} root={} state={state} servers={} applied={} refused={} sessions={} kept={}",
        pointer.site,
        pointer.seq,
        pointer.root,
        tally.servers,
        tally.applied,
        tally.refused.len(),
        tally.sessions,
        tally.kept
    )
}

/// In one word.
pub(super) fn state(ended: &Ended) -> &'static str {
    match ended {
        Ended::Settled => "settled",
        Ended::Alone => "alone",
        Ended::RolledBack { .. } => "rolled-back",
        Ended::Partial { .. } => "partial",
        Ended::Paused => "paused",
        Ended::Overtaken => "overtaken",
    }
}
