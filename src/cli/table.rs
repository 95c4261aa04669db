//! Tables for people: aligned columns, sizes in units that can be read at a glance.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Rows of cells below a row of headings; columns after the first are as wide as they need.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(headings: &[&str]) -> Self {
        Table { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text, without a line feed at its end.
    pub(super) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        let lines = self.rows.iter().map(|row| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:<width$}  ");
            }
            line.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Bytes as `1.5 MiB`.
pub(super) fn human_bytes(bytes: u64) -> String {
    match unit_of(bytes) {
        (_, "B") => format!("{bytes} B"),
        (size, unit) => format!("{:.1} {unit}", bytes as f64 / size),
    }
}

/// How many bytes of how many, in the unit of the latter: `1.5 of 3.0 MiB`.
pub(super) fn human_part(bytes: u64, of: u64) -> String {
    match unit_of(of) {
        (_, "B") => format!("{bytes} of {of} B"),
        (size, unit) => format!("{:.1} of {:.1} {unit}", bytes as f64 / size, of as f64 / size),
    }
}

/// The largest unit that there is at least one of, and its bytes.
fn unit_of(bytes: u64) -> (f64, &'static str) {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return (1.0, "B");
    }
    let (mut size, mut unit) = (1024.0, 0);
    while bytes as f64 / size >= 1023.95 && unit + 1 < UNITS.len() {
        size *= 1024.0;
        unit += 1;
    }
    (size, UNITS[unit])
}

/// A span of time in its largest unit: `3 h`.
pub(super) fn human_time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long ago a time is, in its largest unit: `3 h`.
pub(super) fn human_age(since_1970: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    human_time(now.saturating_sub(since_1970))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_never_four_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 20, "5.0 MiB"),
            (1536 << 20, "1.5 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let mut table = Table::new(&["ID", "SIZE"]);
        table.row(["long-name".to_owned(), "1 B".to_owned()]);
        table.row(["ü".to_owned(), String::new()]);
        assert_eq!(table.text(), "ID         SIZE\nlong-name  1 B\nü");
    }
}
