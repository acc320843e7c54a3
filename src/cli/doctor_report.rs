//! How a diagnosis is printed: aligned plain text, problems with their remedies at the end.

use super::say;
use crate::telemetry::printable;

/// The problems found so far. Everything else is printed as soon as it is known, so that a later step that
/// hangs hides nothing.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
}

/// Something wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) what: String,
    /// Commands or lines of configuration, each of which mends all or part of it.
    pub(super) fixes: Vec<String>,
}

impl Problem {
    pub(super) fn new<const N: usize>(what: impl Into<String>, fixes: [&str; N]) -> Self {
        Self { what: what.into(), fixes: fixes.map(String::from).to_vec() }
    }

    fn lines(&self) -> Vec<String> {
        let mut what = self.what.lines();
        let first = format!("PROBLEM {}", printable(what.next().unwrap_or_default()));
        let more = what.map(|line| format!("  {}", printable(line)));
        let fixes = self.fixes.iter().map(|fix| format!("  fix: {}", printable(fix)));
        [first].into_iter().chain(more).chain(fixes).collect()
    }
}

impl Report {
    pub(super) fn problem(&mut self, problem: Problem) {
        // Several directories may have the same one.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Prints the problems; returns how many there are.
    pub(super) fn finish(self) -> usize {
        say("");
        for line in self.problems.iter().flat_map(Problem::lines) {
            say(&line);
        }
        if self.problems.is_empty() {
            say("no problems found");
        }
        self.problems.len()
    }
}

/// Prints a blank line, a heading, and rows.
pub(super) fn section<const N: usize>(heading: &str, rows: &[[String; N]]) {
    say("");
    say(heading);
    print(rows);
}

/// Prints rows whose cells stand below each other.
pub(super) fn print<const N: usize>(rows: &[[String; N]]) {
    for line in table(rows) {
        say(&line);
    }
}

fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let widths: Vec<usize> =
        (0..N).map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or_default()).collect();
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (cell, wanted) in row.iter().zip(&widths) {
                line.push_str("  ");
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', wanted - width(cell)));
            }
            line.truncate(line.trim_end().len());
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other_and_no_line_ends_in_blanks() {
        let rows = [["a", "1", ""], ["long é", "2", "x"]].map(|row| row.map(String::from));
        assert_eq!(table(&rows), ["  a       1", "  long é  2  x"]);
    }

    #[test]
    fn a_problem_stands_on_lines_of_its_own_with_its_remedies() {
        let problem = Problem::new("wrong\nvery\u{1b}", ["do this", "and that"]);
        assert_eq!(problem.lines(), ["PROBLEM wrong", r"  very\u{1b}", "  fix: do this", "  fix: and that"]);
    }

    #[test]
    fn what_is_found_twice_is_told_once() {
        let mut report = Report::default();
        report.problem(Problem::new("wrong", []));
        report.problem(Problem::new("wrong", []));
        assert_eq!(report.finish(), 1);
    }
}
