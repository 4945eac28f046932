//! Times as the terminal client writes them: of the zone of the system.

/// Minutes east of UTC, asked of the system once: the standard library does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zone {
    offset_ms: i64,
}

/// A day counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

impl Zone {
    /// UTC where `date` is not at hand.
    pub fn of_system() -> Self {
        let told = std::process::Command::new("date").arg("+%z").output().map(|output| output.stdout).unwrap_or_default();
        Self::parse(String::from_utf8_lossy(&told).trim()).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        let (hours, minutes) = digits.split_at_checked(2)?;
        let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
        Some(Self { offset_ms: sign * minutes * MINUTE_MS })
    }

    pub fn day(self, at_ms: i64) -> Day {
        Day((at_ms + self.offset_ms).div_euclid(DAY_MS))
    }

    /// `09:41`
    pub fn clock(self, at_ms: i64) -> String {
        let minutes = (at_ms + self.offset_ms).rem_euclid(DAY_MS) / MINUTE_MS;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    }

    /// `09:41` of today, else `11-21`, else `2025-11-21`.
    pub fn short(self, at_ms: i64, now_ms: i64) -> String {
        let (day, today) = (self.day(at_ms), self.day(now_ms));
        let (text, this_year) = (day.text(), today.text());
        match () {
            () if at_ms == 0 => String::new(),
            () if day == today => self.clock(at_ms),
            () if text[..4] == this_year[..4] => text[5..].to_owned(),
            () => text,
        }
    }
}

impl Day {
    /// `2026-11-21`, by Hinnant's days-to-civil.
    pub fn text(self) -> String {
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        format!("{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_those_of_the_zone() {
        let utc = Zone::default();
        let shanghai = Zone::parse("+0800").expect("a zone");
        let at_ms = 1_795_219_200_000 + 17 * 60 * MINUTE_MS;
        assert_eq!((utc.day(at_ms).text(), utc.clock(at_ms)), ("2026-11-21".into(), "17:00".into()));
        assert_eq!((shanghai.day(at_ms).text(), shanghai.clock(at_ms)), ("2026-11-22".into(), "01:00".into()));
        assert_eq!(Zone::parse("-0330").expect("a zone").clock(0), "20:30");
        assert_eq!(Zone::default().day(951_782_400_000).text(), "2000-02-29");
        assert!(Zone::parse("CET").is_none() && Zone::parse("").is_none());
        assert_eq!(utc.short(at_ms, at_ms + DAY_MS), "11-21");
        assert_eq!(utc.short(at_ms - 365 * DAY_MS, at_ms), "2025-11-21");
    }
}
