//! Variables that were met a moment ago: functions of one file share most of theirs, and it takes longer to
//! remember all of them than to meet some twice.

/// The last few.
#[derive(Default)]
pub(super) struct RecentCells {
    last: [usize; 8],
    next: usize,
}

impl RecentCells {
    pub(super) fn has(&self, cell: usize) -> bool {
        self.last.contains(&cell)
    }

    pub(super) fn add(&mut self, cell: usize) {
        self.last[self.next % self.last.len()] = cell;
        self.next += 1;
    }
}
