//! Powers on AVX2 with fused multiply-add.

use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::Number;
use super::powers::*;

mod columns;
mod constants;
mod product;
mod residue;

use product::Scratch;
use residue::Residue;

powers!("avx2", "fma"; "avx2,fma");

fn from_number(number: &Number, _: &mut Scratch) -> Residue {
    Residue::from_number(number)
}

fn to_number(residue: &Residue, _: &mut Scratch, number: &mut Number) {
    residue.reduce_to(number);
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

#[cfg(test)]
mod tests;
