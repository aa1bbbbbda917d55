//! Powers by windows and combs, over the arithmetic of whichever instructions the CPU has.

/// Bits of an exponent that version 1 of the protocol uses.
pub(super) const EXPONENT_BITS: usize = 260;

/// Bits of the exponent per multiplication.
pub(super) const WINDOW: usize = 4;

/// How a comb reads the exponent: as rows of bits side by side, in parts with a table each.
pub(super) const ROWS: usize = 5;
pub(super) const PARTS: usize = 4;
pub(super) const STEPS: usize = EXPONENT_BITS / (ROWS * PARTS);
pub(super) const ROW_BITS: usize = PARTS * STEPS;

/// Whether the exponent needs more bits than version 1 of the protocol uses.
pub(super) fn is_long(exponent: &[u64; 5]) -> bool {
    exponent[4] >> (EXPONENT_BITS % 64) != 0
}

/// The bits at these positions as a number, the first of them its lowest bit.
pub(super) fn digit(exponent: &[u64; 5], positions: impl DoubleEndedIterator<Item = usize>) -> u64 {
    let bits = positions.map(|position| (exponent[position / 64] >> (position % 64)) & 1);
    bits.rev().fold(0, |digit, bit| (digit << 1) | bit)
}

/// Defines a module's `Token`, the proof that the CPU has some instructions, with its powers.
///
/// The module has a `Residue`; a `Scratch`, which operations leave secrets in to be wiped once and
/// not after each; and, as functions with these instructions, `from_number`; `to_number`, whose last
/// argument becomes the number; `multiply` and `square`, whose first argument becomes the result;
/// and `look_up`, which copies the table entry with an index to its last argument and reads all of
/// them.
macro_rules! powers {
    ($($feature:tt),*; $features:literal) => {
        /// Proof that the CPU has the instructions.
        #[derive(Clone, Copy, Debug)]
        pub(super) struct Token(());

        impl Token {
            pub(super) fn detect() -> Option<Self> {
                let detected = true $(&& is_x86_feature_detected!($feature))*;
                detected.then_some(Self(()))
            }

            pub(super) fn pow(self, base: &Number, exponent: &[u64; 5], power: &mut Number) {
                // SAFETY: a token exists only where `detect` found the instructions.
                unsafe { pow(base, exponent, power) }
            }

            pub(super) fn power_of_two(self, exponent: &[u64; 5]) -> Number {
                let mut power = small(0);
                if is_long(exponent) {
                    self.pow(&small(2), exponent, &mut power);
                    return power;
                }
                static TABLES: LazyLock<[Comb; PARTS]> = LazyLock::new(|| {
                    // SAFETY: nobody looks up a power before there is a token.
                    unsafe { combs() }
                });
                // SAFETY: a token exists only where `detect` found the instructions.
                unsafe { comb(&TABLES, exponent, &mut power) }
                power
            }
        }

        /// The fixed window: one multiplication for each [`WINDOW`] bits.
        #[target_feature(enable = $features)]
        fn pow(base: &Number, exponent: &[u64; 5], to: &mut Number) {
            let mut scratch = Zeroizing::new(Scratch::new());
            let one = from_number(&small(1), &mut scratch);
            let mut table = Zeroizing::new([one; 1 << WINDOW]);
            table[1] = from_number(base, &mut scratch);
            for i in 2..table.len() {
                let (done, new) = table.split_at_mut(i);
                new[0] = done[i / 2];
                square(&mut new[0], &mut scratch);
                if i % 2 == 1 {
                    multiply(&mut new[0], &done[1], &mut scratch);
                }
            }
            let bits = if is_long(exponent) { 5 * 64 } else { EXPONENT_BITS };
            let digit = |window| digit(exponent, window * WINDOW..(window + 1) * WINDOW);
            let mut power = Zeroizing::new(one);
            let mut factor = Zeroizing::new(one);
            look_up(&table[..], digit(bits / WINDOW - 1), &mut power);
            for window in (0..bits / WINDOW - 1).rev() {
                for _ in 0..WINDOW {
                    square(&mut power, &mut scratch);
                }
                look_up(&table[..], digit(window), &mut factor);
                multiply(&mut power, &factor, &mut scratch);
            }
            to_number(&power, &mut scratch, to);
        }

        /// A part's table of powers of 2.
        type Comb = [Residue; 1 << ROWS];

        /// Entry d of the table of part t is the product, over the bits r set in d, of
        /// 2^(2^([`ROW_BITS`] · r + [`STEPS`] · t)).
        #[target_feature(enable = $features)]
        fn combs() -> [Comb; PARTS] {
            let mut scratch = Scratch::new();
            let one = from_number(&small(1), &mut scratch);
            let mut tables = [[one; 1 << ROWS]; PARTS];
            let mut power = from_number(&small(2), &mut scratch);
            for row in 0..ROWS {
                for table in &mut tables {
                    let (done, new) = table.split_at_mut(1 << row);
                    for (entry, done) in new.iter_mut().zip(done) {
                        *entry = *done;
                        multiply(entry, &power, &mut scratch);
                    }
                    for _ in 0..STEPS {
                        square(&mut power, &mut scratch);
                    }
                }
            }
            tables
        }

        /// 2^exponent. With the bits at position i of every row as a digit d, it is the product
        /// over all i of entry d to the power 2^i, where the tables share their squarings.
        #[target_feature(enable = $features)]
        fn comb(tables: &[Comb; PARTS], exponent: &[u64; 5], to: &mut Number) {
            let mut scratch = Zeroizing::new(Scratch::new());
            let one = from_number(&small(1), &mut scratch);
            let mut power = Zeroizing::new(one);
            let mut factor = Zeroizing::new(one);
            for step in (0..STEPS).rev() {
                square(&mut power, &mut scratch);
                for (part, table) in tables.iter().enumerate() {
                    let position = part * STEPS + step;
                    let digit = digit(exponent, (0..ROWS).map(|row| row * ROW_BITS + position));
                    look_up(table, digit, &mut factor);
                    multiply(&mut power, &factor, &mut scratch);
                }
            }
            to_number(&power, &mut scratch, to);
        }
    };
}
pub(super) use powers;

/// A number of one limb.
pub(super) const fn small(value: u64) -> super::Number {
    let mut number = [0; 32];
    number[0] = value;
    number
}
