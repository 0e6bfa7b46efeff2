//! JavaScript's dates as the text that JSON has for them.

use alloc::string::String;
use core::fmt::Write as _;

/// The furthest moments that a `Date` can name, in milliseconds from 1970.
const MAX: i64 = 8_640_000_000_000_000;

const DAY: i64 = 86_400_000;

/// What `Date.prototype.toJSON` gives, as `2026-11-24T13:20:40.123Z`; `None` for moments that no `Date` can name.
pub(crate) fn to_iso(millis: i64) -> Option<String> {
    if !(-MAX..=MAX).contains(&millis) {
        return None;
    }
    let (days, time) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let mut text = String::with_capacity(27);
    // Years that do not have four digits have six and a sign.
    let written = if (0..=9999).contains(&year) {
        write!(text, "{year:04}")
    } else {
        write!(text, "{}{:06}", if year < 0 { '-' } else { '+' }, year.abs())
    };
    let (seconds, millis) = (time / 1000, time % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    written
        .and_then(|()| write!(text, "-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z"))
        .ok()?;
    Some(text)
}

/// Year, month and day of a day that is counted from 1970-01-01 in the Gregorian calendar.
///
/// Counts from the first of March of year 0 of a cycle of 400 years, so that the leap day is the last of its year.
const fn civil(days: i64) -> (i64, i64, i64) {
    const CYCLE: i64 = 146_097;
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(CYCLE), days.rem_euclid(CYCLE));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = cycle * 400 + year + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_javascript_writes_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_795_526_440_123, "2026-11-24T13:20:40.123Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (MAX, "+275760-09-13T00:00:00.000Z"),
            (-MAX, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(to_iso(millis).as_deref(), Some(text));
        }
        for millis in [MAX + 1, -MAX - 1, i64::MAX, i64::MIN] {
            assert_eq!(to_iso(millis), None);
        }
    }
}
