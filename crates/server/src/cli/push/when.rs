//! Times and spans as people type them.

use anyhow::{Context, Result, ensure};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Unix milliseconds.
    At(i64),
    /// Milliseconds from now.
    In(i64),
}

impl When {
    pub fn millis(self, now: i64) -> i64 {
        match self {
            When::At(at) => at,
            When::In(span) => now.saturating_add(span),
        }
    }
}

/// `1700000000000`, `2026-01-31T08:00:00Z`, `2026-01-31T16:00:00+08:00`, `+10m`.
pub fn time(text: &str) -> Result<When> {
    if let Some(later) = text.strip_prefix('+') {
        return span(later).map(When::In);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(When::At).context("Unix milliseconds, 2026-01-31T08:00:00Z, or +10m");
    }
    date(text).map(When::At).context("Unix milliseconds, 2026-01-31T08:00:00Z, or +10m")
}

/// `30s`, `10m`, `2h`, `1d`, in milliseconds.
pub fn span(text: &str) -> Result<i64> {
    let units = [('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
    let read = || {
        let (unit, ms) = units.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
        text.strip_suffix(unit)?.parse::<u32>().ok().map(|count| i64::from(count) * ms)
    };
    let ms = read().context("a number and one of s, m, h, d, such as 10m")?;
    ensure!(ms > 0, "longer than nothing");
    Ok(ms)
}

/// RFC 3339 without fractions.
fn date(text: &str) -> Result<i64> {
    let shape = "YYYY-MM-DDTHH:MM:SS and Z or +HH:MM";
    ensure!(text.is_ascii() && text.len() >= 20, shape);
    let (stamp, zone) = text.split_at(19);
    let part = |from: usize, to: usize| stamp[from..to].parse::<u32>().ok().filter(|_| !stamp[from..to].starts_with('+'));
    let separators = [(4, '-'), (7, '-'), (10, 'T'), (13, ':'), (16, ':')];
    ensure!(separators.into_iter().all(|(at, wanted)| stamp[at..].starts_with(wanted)), shape);
    let parts = (part(0, 4), part(5, 7), part(8, 10), part(11, 13), part(14, 16), part(17, 19));
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) = parts else { anyhow::bail!(shape) };
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    ensure!(in_range, "no such time");
    let seconds = days(i64::from(year), i64::from(month), i64::from(day)) * 86_400 + i64::from(hour * 3_600 + minute * 60 + second);
    Ok((seconds - offset(zone).context(shape)?) * 1_000)
}

/// Unix milliseconds as people read them, in UTC; what is below a second is left out.
pub fn shown(ms: i64) -> String {
    let seconds = ms.div_euclid(1_000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// Seconds that the zone is ahead.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let digits = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten().map(i64::from);
    let ahead = digits(hours)? * 3_600 + digits(minutes)? * 60;
    match zone.get(..1)? {
        "+" => Some(ahead),
        "-" => Some(-ahead),
        _ => None,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days`] (`civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let times = [
            ("1700000000000", When::At(1_700_000_000_000)),
            ("1970-01-01T00:00:00Z", When::At(0)),
            ("2023-11-14T22:13:20Z", When::At(1_700_000_000_000)),
            ("2023-11-15T06:13:20+08:00", When::At(1_700_000_000_000)),
            ("2023-11-14T17:13:20-05:00", When::At(1_700_000_000_000)),
            ("2024-02-29T12:00:00Z", When::At(1_709_208_000_000)),
            ("+10m", When::In(600_000)),
            ("+1d", When::In(86_400_000)),
        ];
        for (text, expected) in times {
            assert_eq!(time(text).unwrap(), expected, "{text}");
        }
        assert_eq!(When::In(5).millis(7), 12);
    }

    #[test]
    fn what_is_shown_is_read_as_the_same_second() {
        for ms in [0, -1_000, 951_782_400_000, 1_700_000_000_000, 1_709_208_000_000, 4_102_444_799_000] {
            assert_eq!(time(&shown(ms)).unwrap(), When::At(ms), "{}", shown(ms));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "soon",
            "+",
            "+m",
            "+10",
            "+-1m",
            "+0s",
            "2023-11-14",
            "2023-13-14T22:13:20Z",
            "2023-11-14T22:13:20",
            "2023-11-14 22:13:20Z",
            "2023-11-14T22:13:20+8",
            "20231114T22:13:20.000Z",
            "99999999999999999999",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
