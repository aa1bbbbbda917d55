//! Powers on AVX2 with fused multiply-add.

use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::Number;
use super::powers::*;

mod residue;

use residue::{Residue, Scratch};

powers!("avx2", "fma"; "avx2,fma");

fn from_number(number: &Number, _: &mut Scratch) -> Residue {
    Residue::from_number(number)
}

fn to_number(residue: &Residue, _: &mut Scratch) -> Number {
    residue.to_number()
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn multiply(residue: &mut Residue, other: &Residue, scratch: &mut Scratch) {
    residue.multiply(other, scratch);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn square(residue: &mut Residue, scratch: &mut Scratch) {
    residue.square(scratch);
}

#[target_feature(enable = "avx2,fma")]
fn look_up(table: &[Residue], index: u64, found: &mut Residue) {
    found.look_up(table, index);
}

#[doc(hidden)]
pub fn bench() {
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    fn squares(r: &mut Residue, s: &mut Scratch) {
        for _ in 0..20 { r.square(s); }
    }
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    fn products(r: &mut Residue, o: &Residue, s: &mut Scratch) {
        for _ in 0..20 { r.multiply(o, s); }
    }
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    fn reduces(r: &mut Residue, s: &mut Scratch) {
        for _ in 0..20 { r.reduce(s); }
    }
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    fn rowss(s: &mut Scratch) {
        for _ in 0..20 { s.rows(); }
    }
    let mut s = Scratch::new();
    let mut r = Residue::from_number(&std::array::from_fn(|i| 0x1234567891234567u64.wrapping_mul(i as u64 + 1)));
    let o = r;
    let mut best = [u128::MAX; 5];
    for _ in 0..4000 {
        let t = std::time::Instant::now();
        unsafe { squares(&mut r, &mut s) };
        best[0] = best[0].min(t.elapsed().as_nanos());
        let t = std::time::Instant::now();
        unsafe { products(&mut r, &o, &mut s) };
        best[1] = best[1].min(t.elapsed().as_nanos());
        let t = std::time::Instant::now();
        unsafe { reduces(&mut r, &mut s) };
        best[3] = best[3].min(t.elapsed().as_nanos());
        let t = std::time::Instant::now();
        unsafe { rowss(&mut s) };
        best[4] = best[4].min(t.elapsed().as_nanos());
        r = o;
        let t = std::time::Instant::now();
        let mut x = 1u64;
        for _ in 0..1000 { unsafe { std::arch::asm!("add {0},{0}", "add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}","add {0},{0}", inout(reg) x) }; }
        best[2] = best[2].min(t.elapsed().as_nanos());
    }
    let cycle = best[2] as f64 / 1e4;
    let [a, b, _, c, d] = best.map(|b| b as f64 / 20.0);
    println!("square {a} ns {:.0} cycles, product {b} ns {:.0} cycles, {cycle} ns a cycle reduce {:.0} rows {:.0}", a / cycle, b / cycle, c / cycle, d / cycle);
}
