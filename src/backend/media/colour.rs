//! Converts a decoded cover to 8-bit sRGB, as a browser shows it, whatever colours its file is written in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{DynamicImage, Rgb, RgbImage, RgbaImage};
use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, Layout,
    MatrixCoefficients, ToneReprCurve, TransferCharacteristics, TransformOptions, XyYRepresentable,
};

use super::{Deadline, Result, cover::PngColour, damaged};

/// Number of pixels converted between two checks of the deadline.
const PIXELS_AT_ONCE: usize = 64 * 1024;

/// The pixels of a decoded picture.
pub(super) enum DecodedPixels {
    /// Gray, or red, green and blue, with or without transparency, in 8 or 16 bit.
    Light(DynamicImage),
    /// Inks, 8 bit each. 0 is no ink.
    Cmyk { width: u32, height: u32, inks: Vec<u8> },
}

/// Parses a colour profile. Returns None and logs the reason if the profile is unusable. The picture is then shown as
/// sRGB, as browsers do.
pub(super) fn parse_profile(icc: &[u8]) -> Option<ColorProfile> {
    // A broken profile is no reason to refuse a picture, even if it makes the library panic.
    match catch_unwind(|| ColorProfile::new_from_slice(icc)) {
        Ok(Ok(profile)) => Some(profile),
        Ok(Err(error)) => unusable(&error.to_string()),
        Err(_) => unusable("reading it panicked"),
    }
}

/// Logs why a profile is not used. Returns None.
pub(super) fn unusable<T>(why: &str) -> Option<T> {
    tracing::info!(reason = why, "colour profile of a cover is unusable; assuming sRGB");
    None
}

/// Returns the colour profile that a PNG declares in chunks other than its ICC profile. None means sRGB.
pub(super) fn of_png(colour: &PngColour) -> Option<ColorProfile> {
    if let Some([primaries, transfer, 0, 1]) = colour.coding_points {
        let primaries = CicpColorPrimaries::try_from(primaries).ok()?;
        let transfer = TransferCharacteristics::try_from(transfer).ok()?;
        // Brightness beyond white needs a screen that supports it. Taken for sRGB, the picture at least shows
        // everything.
        if matches!(transfer, TransferCharacteristics::Smpte2084 | TransferCharacteristics::Hlg) {
            return unusable("it is for screens with a high dynamic range");
        }
        let mut profile = ColorProfile::new_srgb();
        profile.update_rgb_colorimetry_from_cicp(CicpProfile {
            color_primaries: primaries,
            transfer_characteristics: transfer,
            matrix_coefficients: MatrixCoefficients::Identity,
            full_range: true,
        });
        return Some(profile);
    }
    if colour.is_srgb || (colour.gamma.is_none() && colour.chromaticities.is_none()) {
        return None;
    }
    // Programs that mean sRGB write these numbers.
    const SRGB_GAMMA: u32 = 45_455;
    const SRGB_CHROMATICITIES: [u32; 8] = [31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000];
    let gamma = colour.gamma.unwrap_or(SRGB_GAMMA);
    let chromaticities = colour.chromaticities.unwrap_or(SRGB_CHROMATICITIES);
    if gamma.abs_diff(SRGB_GAMMA) < 100
        && chromaticities.iter().zip(SRGB_CHROMATICITIES).all(|(at, srgb)| at.abs_diff(srgb) < 100)
    {
        return None;
    }
    // The numbers count 1/100,000. A gamma of 0 and colours outside of the diagram are meaningless.
    if !(10_000..=1_000_000).contains(&gamma)
        || !chromaticities.iter().all(|at| *at <= 100_000)
        || chromaticities[1] == 0
    {
        return unusable("its gamma or its primaries are impossible");
    }
    let chromaticity =
        |at: usize| Chromaticity::new(chromaticities[at] as f32 / 100_000.0, chromaticities[at + 1] as f32 / 100_000.0);
    let primaries = ColorPrimaries { red: chromaticity(2), green: chromaticity(4), blue: chromaticity(6) };
    let mut profile = ColorProfile::new_srgb();
    profile.update_rgb_colorimetry(chromaticity(0).to_xyy(), primaries);
    if gamma.abs_diff(SRGB_GAMMA) >= 100 {
        let curve = ToneReprCurve::Parametric(vec![100_000.0 / gamma as f32]);
        profile.red_trc = Some(curve.clone());
        profile.green_trc = Some(curve.clone());
        profile.blue_trc = Some(curve);
    }
    Some(profile)
}

/// Converts a picture to 8-bit sRGB, with white behind transparent parts, as stores do.
pub(super) fn to_srgb(picture: DecodedPixels, profile: Option<ColorProfile>, deadline: &Deadline) -> Result<RgbImage> {
    let meant = profile.as_ref().map(|profile| profile.color_space);
    match picture {
        DecodedPixels::Cmyk { width, height, inks } => {
            let converter = profile.as_ref().and_then(|profile| match profile.color_space {
                DataColorSpace::Cmyk => Converter::new(profile, Layout::Rgba, Layout::Rgb),
                _ => unusable("it is not about inks"),
            });
            let light = match converter {
                Some(converter) => converter.converted(&inks, 4, 3, deadline)?,
                None => without_profile(&inks),
            };
            require_pixels(RgbImage::from_raw(width, height, light))
        }
        DecodedPixels::Light(picture) if meant == Some(DataColorSpace::Gray) && !picture.color().has_color() => {
            let (width, height) = (picture.width(), picture.height());
            let has_alpha = picture.color().has_alpha();
            let (from, to) = if has_alpha { (Layout::GrayAlpha, Layout::Rgba) } else { (Layout::Gray, Layout::Rgb) };
            let Some(converter) = profile.as_ref().and_then(|profile| Converter::new(profile, from, to)) else {
                return to_srgb(DecodedPixels::Light(picture), None, deadline);
            };
            if has_alpha {
                let light = converter.converted(&picture.into_luma_alpha8(), 2, 4, deadline)?;
                return Ok(on_white(&require_pixels(RgbaImage::from_raw(width, height, light))?));
            }
            require_pixels(RgbImage::from_raw(
                width,
                height,
                converter.converted(&picture.into_luma8(), 1, 3, deadline)?,
            ))
        }
        DecodedPixels::Light(picture) => {
            let has_alpha = picture.color().has_alpha();
            let layout = if has_alpha { Layout::Rgba } else { Layout::Rgb };
            let converter = profile.as_ref().and_then(|profile| match profile.color_space {
                DataColorSpace::Rgb => Converter::new(profile, layout, layout),
                _ => unusable("it is about other kinds of colour than the picture"),
            });
            if has_alpha {
                let mut light = picture.into_rgba8();
                converter.map_or(Ok(()), |converter| converter.convert(&mut light, 4, deadline))?;
                return Ok(on_white(&light));
            }
            let mut light = picture.into_rgb8();
            converter.map_or(Ok(()), |converter| converter.convert(&mut light, 3, deadline))?;
            Ok(light)
        }
    }
}

/// Converts inks without a profile, as browsers show the inks of an unknown printer.
fn without_profile(inks: &[u8]) -> Vec<u8> {
    let mut light = Vec::with_capacity(inks.len() / 4 * 3);
    for ink in inks.as_chunks::<4>().0 {
        let [cyan, magenta, yellow, paper] = ink.map(|ink| u32::from(255 - ink));
        // Each colour is between 0 and 255.
        light.extend([cyan, magenta, yellow].map(|colour| (colour * paper / 255) as u8));
    }
    light
}

fn on_white(picture: &RgbaImage) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0.map(u32::from);
        // Each value is between 0 and 255.
        Rgb([red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha)) / 255) as u8))
    })
}

fn require_pixels<T>(picture: Option<T>) -> Result<T> {
    picture.map_or_else(|| damaged("the picture cannot be decoded"), Ok)
}

struct Converter(std::sync::Arc<moxcms::Transform8BitExecutor>);

impl Converter {
    fn new(profile: &ColorProfile, from: Layout, to: Layout) -> Option<Self> {
        let options = TransformOptions { rendering_intent: profile.rendering_intent, ..TransformOptions::default() };
        let made = AssertUnwindSafe(|| profile.create_transform_8bit(from, &ColorProfile::new_srgb(), to, options));
        match catch_unwind(made) {
            Ok(Ok(transform)) => Some(Self(transform)),
            Ok(Err(error)) => unusable(&error.to_string()),
            Err(_) => unusable("preparing it panicked"),
        }
    }

    /// Converts in place, so that a large picture is not held in memory twice.
    fn convert(&self, pixels: &mut [u8], channels: usize, deadline: &Deadline) -> Result<()> {
        let mut before = Vec::with_capacity(PIXELS_AT_ONCE * channels);
        for part in pixels.chunks_mut(PIXELS_AT_ONCE * channels) {
            deadline.check()?;
            before.clear();
            before.extend_from_slice(part);
            self.run(&before, part);
        }
        Ok(())
    }

    fn converted(&self, pixels: &[u8], channels: usize, into: usize, deadline: &Deadline) -> Result<Vec<u8>> {
        let mut converted = vec![0; pixels.len() / channels * into];
        let parts = pixels.chunks(PIXELS_AT_ONCE * channels).zip(converted.chunks_mut(PIXELS_AT_ONCE * into));
        for (from, to) in parts {
            deadline.check()?;
            self.run(from, to);
        }
        Ok(converted)
    }

    fn run(&self, from: &[u8], to: &mut [u8]) {
        // The conversion fails only if the lengths do not fit, and here they fit.
        if let Err(error) = self.0.transform(from, to) {
            tracing::warn!(error = %error, "converting the colours of a cover failed");
        }
    }
}
