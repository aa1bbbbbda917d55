//! Powers, on AVX2 with fused multiply-add.

use zeroize::Zeroizing;

use super::Number;

mod residue;

use residue::{Residue, Scratch};

/// Proof that the CPU has the instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token(());

impl Token {
    pub(super) fn detect() -> Option<Self> {
        let detected = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        detected.then_some(Self(()))
    }

    pub(super) fn pow(self, base: &Number, exponent: &[u64; 5]) -> Number {
        // SAFETY: a token exists only where `detect` found avx2 and fma.
        unsafe { pow(base, exponent) }
    }
}

const WINDOW: usize = 4;

#[target_feature(enable = "avx2,fma")]
fn pow(base: &Number, exponent: &[u64; 5]) -> Number {
    let mut scratch = Zeroizing::new(Scratch::new());
    let one: Number = std::array::from_fn(|i| u64::from(i == 0));
    let base = Zeroizing::new(Residue::from_number(base));
    let mut table = Zeroizing::new([Residue::from_number(&one); 16]);
    for i in 1..table.len() {
        table[i] = table[i - 1];
        table[i].multiply(&base, &mut scratch);
    }
    let mut power = Zeroizing::new(Residue::from_number(&one));
    let mut factor = power.clone();
    for digit in digits(exponent) {
        for _ in 0..WINDOW {
            power.square(&mut scratch);
        }
        factor.look_up(table.iter(), digit);
        power.multiply(&factor, &mut scratch);
    }
    power.to_number()
}

fn digits(exponent: &[u64; 5]) -> impl Iterator<Item = u64> {
    let unused = if exponent[4] < 1 << WINDOW { 15 } else { 0 };
    let limbs = exponent.iter().rev();
    let digits = limbs.flat_map(|limb| {
        let windows = (0..u64::BITS as usize / WINDOW).rev();
        windows.map(move |window| (limb >> (window * WINDOW)) & ((1 << WINDOW) - 1))
    });
    digits.skip(unused)
}

#[doc(hidden)]
pub fn bench() {
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    fn squares(r: &mut Residue, s: &mut Scratch) {
        for _ in 0..1000 { r.square(s); }
    }
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    fn products(r: &mut Residue, o: &Residue, s: &mut Scratch) {
        for _ in 0..1000 { r.multiply(o, s); }
    }
    let mut s = Scratch::new();
    let mut r = Residue::from_number(&std::array::from_fn(|i| 0x1234567891234567u64.wrapping_mul(i as u64 + 1)));
    let o = r;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let t = std::time::Instant::now();
        unsafe { squares(&mut r, &mut s) };
        a.push(t.elapsed().as_nanos());
        let t = std::time::Instant::now();
        unsafe { products(&mut r, &o, &mut s) };
        b.push(t.elapsed().as_nanos());
    }
    a.sort(); b.sort();
    println!("square {} ns best {}, product {} ns best {}", a[100] as f64 / 1e3, a[0] as f64 / 1e3, b[100] as f64/1e3, b[0] as f64/1e3);
    // Cycles: a chain of dependent additions.
    let t = std::time::Instant::now();
    let mut x = 1u64;
    for _ in 0..1000000 { unsafe { std::arch::asm!("add {0},{0}", "add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}", inout(reg) x) }; }
    println!("{} ns a cycle", t.elapsed().as_nanos() as f64 / 1e7);
}
