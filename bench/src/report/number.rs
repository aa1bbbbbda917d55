//! Numbers as people read them: three digits that count.

use crate::results::Metric;

/// A value with three significant digits, thousands apart.
pub(crate) fn show(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if magnitude >= 2 {
        let step = 10_f64.powi(magnitude - 2);
        return grouped((value / step).round() * step);
    }
    let decimals = (2 - magnitude).min(4) as usize;
    format!("{value:.decimals$}")
}

/// A value of a metric, with its unit.
pub(crate) fn value_with_unit(metric: Metric, value: f64) -> String {
    let space = if metric.unit == "/s" { "" } else { " " };
    format!("{}{space}{}", show(value), metric.unit)
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        let shown = [
            (0.0, "0"),
            (0.01234, "0.0123"),
            (0.1734, "0.173"),
            (2.4, "2.40"),
            (17.26, "17.3"),
            (176.4, "176"),
            (9999.0, "10,000"),
            (158_234.0, "158,000"),
            (1_582_340.0, "1,580,000"),
            (-1234.0, "-1,230"),
        ];
        for (value, text) in shown {
            assert_eq!(show(value), text);
        }
    }
}
