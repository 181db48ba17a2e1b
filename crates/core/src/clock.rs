//! Time and ids, which come from outside: `core` never asks the machine for them.

use std::fmt;
use std::ops::Range;

use time::format_description::FormatItem;
use time::macros::format_description;
use time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

use crate::ids::ResourceId;

/// A moment in UTC with microsecond resolution, as both databases store it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

const WIRE: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

impl Timestamp {
    /// Wraps microseconds since 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns the moment `seconds` later (or earlier, when negative).
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// Returns the moment after a span.
    #[must_use]
    pub fn plus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the moment a span earlier.
    #[must_use]
    pub fn minus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the span since an earlier moment, or zero since a later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        let micros = self.0.saturating_sub(earlier.0);
        std::time::Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// Returns the next moment, a microsecond later.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Reads an `xsd:dateTime` with a zone (RFC 7643 §2.3.5). Digits below a microsecond are dropped.
    pub fn parse(text: &str) -> Option<Self> {
        Instant::parse(text).filter(|instant| instant.zoned).map(|instant| Self(instant.micros))
    }
}

impl fmt::Display for Timestamp {
    /// Writes `2026-11-21T08:30:00.000000Z`: always UTC, always six fraction digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = OffsetDateTime::UNIX_EPOCH.checked_add(Duration::microseconds(self.0));
        let Some(moment) = moment else {
            return write!(f, "{}us", self.0);
        };
        match u32::try_from(moment.year()) {
            Ok(year) => f.write_str(std::str::from_utf8(&wire(year, moment)).unwrap_or_default()),
            // Before the year 0.
            Err(_) => f.write_str(&moment.format(WIRE).unwrap_or_default()),
        }
    }
}

/// Writes a moment in the format of [`WIRE`]. Each resource of a page has two, and interpreting the
/// description takes a twelfth of the time of the page.
fn wire(year: u32, moment: OffsetDateTime) -> [u8; 27] {
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let parts = [
        (0..4, year),
        (5..7, u32::from(u8::from(moment.month()))),
        (8..10, u32::from(moment.day())),
        (11..13, u32::from(moment.hour())),
        (14..16, u32::from(moment.minute())),
        (17..19, u32::from(moment.second())),
        (20..26, moment.microsecond()),
    ];
    for (range, mut value) in parts {
        for digit in text.get_mut(range).into_iter().flatten().rev() {
            *digit += u8::try_from(value % 10).unwrap_or_default();
            value /= 10;
        }
    }
    text
}

/// The instant that an `xsd:dateTime` means, finer than a [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant {
    /// Microseconds since the epoch, rounded down.
    pub(crate) micros: i64,
    /// Nanoseconds above `micros`, 0 to 999.
    pub(crate) finer: u16,
    /// Whether the text had a zone. Without one, UTC is assumed.
    pub(crate) zoned: bool,
}

impl Instant {
    /// Reads an `xsd:dateTime` with date and time. Digits below a nanosecond are dropped.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (seconds, tail) = text.as_bytes().split_at_checked(19)?;
        let separators = [4, 7, 10, 13, 16].map(|at| seconds.get(at).copied().unwrap_or_default());
        if separators != *b"--T::" {
            return None;
        }
        let month = Month::try_from(number::<u8>(seconds, 5..7)?).ok()?;
        let date = Date::from_calendar_date(number(seconds, 0..4)?, month, number(seconds, 8..10)?)
            .ok()?;
        let (nanos, zone) = fraction(tail)?;
        let (hour, minute, second) =
            (number(seconds, 11..13)?, number(seconds, 14..16)?, number(seconds, 17..19)?);
        // XML Schema has a second form for midnight: hour 24 of the day before.
        let ends_day = (hour, minute, second, nanos) == (24, 0, 0, 0);
        let (date, hour) = if ends_day { (date.next_day()?, 0) } else { (date, hour) };
        let time = Time::from_hms_nano(hour, minute, second, nanos).ok()?;
        let offset = match zone {
            [] => None,
            zone => Some(offset(zone)?),
        };
        let nanos = PrimitiveDateTime::new(date, time)
            .assume_offset(offset.unwrap_or(UtcOffset::UTC))
            .unix_timestamp_nanos();
        Some(Self {
            micros: i64::try_from(nanos.div_euclid(1_000)).ok()?,
            finer: u16::try_from(nanos.rem_euclid(1_000)).ok()?,
            zoned: offset.is_some(),
        })
    }
}

/// Reads a number of at most nine digits.
fn number<N: TryFrom<u32>>(text: &[u8], range: Range<usize>) -> Option<N> {
    let number = text.get(range)?.iter().try_fold(0u32, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0'))
    })?;
    N::try_from(number).ok()
}

/// Reads the fraction of a second at the start of a text, in nanoseconds, and returns the rest.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(length).filter(|_| length > 0)?;
    let digits = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
    Some((digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')), rest))
}

/// Reads `Z` or an offset of at most 14 hours, as XML Schema has it.
fn offset(zone: &[u8]) -> Option<UtcOffset> {
    match zone {
        [b'Z'] => Some(UtcOffset::UTC),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let hours = number::<i8>(zone, 1..3).filter(|hours| *hours <= 14)?;
            let max = if hours == 14 { 0 } else { 59 };
            let minutes = number::<i8>(zone, 4..6).filter(|minutes| *minutes <= max)?;
            let sign = if *sign == b'-' { -1 } else { 1 };
            UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
        }
        _ => None,
    }
}

/// A source of the time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the present moment.
    fn now(&self) -> Timestamp;
}

/// Makes ids for new resources.
pub trait IdSource: Send + Sync + 'static {
    /// Returns an id that was never returned before and never will be again.
    ///
    /// It must not contain the text `bulkId` (RFC 7643 §3.1).
    fn next_id(&self) -> ResourceId;

    /// Returns whether a text could be an id that this source made.
    fn could_be(&self, _text: &str) -> bool {
        true
    }

    /// Returns the id that a text means if it differs from the form of this source's ids by outer blanks,
    /// case or hyphens. The id need not exist.
    fn respell(&self, _text: &str) -> Option<ResourceId> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn res_021_a_timestamp_prints_utc_with_fixed_digits() {
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
        let moment = Timestamp::parse("2026-11-21T08:30:00.5+02:00").unwrap();
        assert_eq!(moment.to_string(), "2026-11-21T06:30:00.500000Z");
        assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
    }

    #[test]
    fn what_is_written_is_what_its_description_says() {
        // Some hundred thousand moments, from before the year 0 to the year 9999.
        let (first, last) = (-65_000_000_000_000_000_i64, 253_402_300_799_999_999_i64);
        for micros in (first..=last).step_by(3_184_020_411_137).chain([first, -1, 0, 1, last]) {
            let moment = OffsetDateTime::UNIX_EPOCH + Duration::microseconds(micros);
            let described = moment.format(WIRE).unwrap();
            assert_eq!(Timestamp::from_micros(micros).to_string(), described);
        }
    }

    #[test]
    fn chr_027_a_date_time_needs_date_time_and_known_fields() {
        for good in
            ["2011-05-13T04:42:34Z", "2011-05-13T04:42:34.123456789Z", "2011-05-13T04:42:34-14:00"]
        {
            assert!(Instant::parse(good).is_some_and(|i| i.zoned), "{good}");
        }
        for bad in [
            "2011-05-13",
            "2011-05-13T04:42",
            "2011-13-13T04:42:34Z",
            "2011-05-13T24:42:34Z",
            "2011-05-13T04:42:60Z",
            "2011-05-13T04:42:34.Z",
            "2011-05-13t04:42:34Z",
            "2011-05-13T04:42:34+15:00",
            "2011-05-13T04:42:34+14:01",
            "2011-05-13T04:42:34+0000",
            "2011-05-13T24:00:01Z",
            "2011-05-13T24:00:00.1Z",
            "",
            "T",
            "2011-05-13T04:42:34Zx",
            "+011-05-13T04:42:34Z",
        ] {
            assert!(Instant::parse(bad).is_none(), "{bad}");
        }
        assert!(!Instant::parse("2011-05-13T04:42:34").unwrap().zoned);
        assert_eq!(Instant::parse("2024-12-31T24:00:00Z"), Instant::parse("2025-01-01T00:00:00Z"));
    }
}
