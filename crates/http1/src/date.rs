//! The `Date` field (RFC 9110, 5.6.7), made once a second rather than once a response.

/// The length of a date in bytes.
pub const DATE_LEN: usize = 29;

/// The date of one second.
#[derive(Debug, Clone)]
pub struct HttpDate {
    second: u64,
    text: [u8; DATE_LEN],
}

impl Default for HttpDate {
    fn default() -> Self {
        Self {
            second: 0,
            text: format(0),
        }
    }
}

impl HttpDate {
    /// The date of `unix_second`, in seconds since 1970.
    pub fn at(&mut self, unix_second: u64) -> &[u8; DATE_LEN] {
        if self.second != unix_second {
            self.second = unix_second;
            self.text = format(unix_second);
        }
        &self.text
    }
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn format(unix_second: u64) -> [u8; DATE_LEN] {
    let days = unix_second / 86_400;
    let second = unix_second % 86_400;
    let (year, month, day) = civil(days);
    let text = format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS.get((days % 7) as usize).copied().unwrap_or("Thu"),
        MONTHS.get(month).copied().unwrap_or("Jan"),
        second / 3600,
        second / 60 % 60,
        second % 60,
    );
    text.as_bytes().try_into().unwrap_or([b' '; DATE_LEN])
}

/// Year, month from 0, and day from 1, of a day counted from 1970. Years are taken to begin in March,
/// so that the leap day is the last one.
const fn civil(days: u64) -> (u64, usize, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = ((from_march + 2) % 12) as usize;
    let year = year_of_era + era * 400 + (month < 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (second, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(
                std::str::from_utf8(HttpDate::default().at(second)),
                Ok(text)
            );
        }
    }
}
