use proptest::prelude::*;

use super::*;

fn count(text: &str) -> Rate {
    Rate::parse(text, Unit::Count).expect("a rate")
}

fn bytes(text: &str) -> Rate {
    Rate::parse(text, Unit::Bytes).expect("a rate of bytes")
}

#[test]
fn a_rate_is_exactly_what_was_written() {
    for (text, amount, seconds) in [
        ("250k/s", 250_000, 1),
        ("600/min", 600, 60),
        ("3M/h", 3_000_000, 3_600),
        ("1G/s", 1_000_000_000, 1),
    ] {
        let rate = count(text);
        assert_eq!(
            (rate.amount, rate.per.as_secs()),
            (amount, seconds),
            "{text}"
        );
        assert_eq!(rate.to_string(), text);
    }
    for (text, amount) in [
        ("1B/s", 1),
        ("1kB/s", 1_000),
        ("1KiB/s", 1_024),
        ("100MiB/s", 104_857_600),
        ("100MB/s", 100_000_000),
        ("2GiB/s", 2_147_483_648),
        ("2GB/s", 2_000_000_000),
    ] {
        assert_eq!(bytes(text).amount, amount, "{text}");
        assert_eq!(bytes(text).to_string(), text);
    }
    assert_eq!(bytes("1KB/s"), bytes("1kB/s"));
    assert_eq!(count("1K/s"), count("1k/s"));
}

#[test]
fn off_is_no_limit() {
    assert_eq!(RateSetting::count("off").map(RateSetting::rate), Ok(None));
    assert_eq!(RateSetting::bytes("off").map(RateSetting::rate), Ok(None));
}

#[test]
fn the_highest_rate_is_ten_to_the_twelfth() {
    assert_eq!(count("1000G/s").amount, MAX_UNITS);
    for text in [
        "1000000000001/s",
        "1001G/s",
        "99999999999999999999/s",
        "18446744073709551615G/s",
    ] {
        let invalid = Rate::parse(text, Unit::Count).expect_err(text);
        assert!(invalid.message.contains("higher"), "{invalid}");
    }
}

#[test]
fn an_allowance_keeps_the_rate_and_lets_one_packet_through() {
    let second = Duration::from_secs(1);
    let allowance = |rate: Rate, burst| {
        let Allowance { units, refill } = rate.allowance(burst);
        (units, refill)
    };
    assert_eq!(allowance(count("250k/s"), second), (250_000, second));
    assert_eq!(allowance(count("600/min"), second), (10, second));
    assert_eq!(
        allowance(count("90/min"), second),
        (1, Duration::from_nanos(666_666_666))
    );
    assert_eq!(
        allowance(count("5/min"), second),
        (1, Duration::from_secs(12))
    );
    assert_eq!(allowance(bytes("1MiB/s"), second), (1 << 20, second));
    assert_eq!(
        allowance(bytes("32KiB/s"), second),
        (65_536, Duration::from_secs(2))
    );
}

proptest! {
    #[test]
    fn a_rate_reads_as_it_is_written(
        amount in 1..=MAX_UNITS,
        zeros in 0_u32..=11,
        period in 0..PERIODS.len(),
        unit in prop::sample::select(vec![Unit::Count, Unit::Bytes]),
    ) {
        let round = 10_u64.pow(zeros);
        let amount = (amount / round).max(1) * round;
        let rate = Rate { amount, per: Duration::from_secs(PERIODS[period].1), unit };
        prop_assert_eq!(Rate::parse(&rate.to_string(), unit), Ok(rate));
    }

    #[test]
    fn an_allowance_keeps_the_rate_to_the_nanosecond(
        amount in 1..=MAX_UNITS,
        period in 0..PERIODS.len(),
        burst_ms in 10_u64..=3_600_000,
    ) {
        let per = Duration::from_secs(PERIODS[period].1);
        let rate = Rate { amount, per, unit: Unit::Count };
        let Allowance { units, refill } = rate.allowance(Duration::from_millis(burst_ms));
        prop_assert!(units >= 1);
        // units / refill against amount / per, in whole numbers.
        let ours = u128::from(units) * per.as_nanos();
        let asked = u128::from(amount) * refill.as_nanos();
        prop_assert!(ours.abs_diff(asked) <= u128::from(amount), "{} {}", ours, asked);
    }

    #[test]
    fn no_text_panics(text in ".*") {
        for unit in [Unit::Count, Unit::Bytes] {
            if let Ok(rate) = Rate::parse(&text, unit) {
                prop_assert!((1..=MAX_UNITS).contains(&rate.amount));
            }
        }
    }
}
