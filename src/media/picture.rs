//! Pictures that people send: looked at with suspicion, made smaller and written anew, so that what is given out was made
//! here. Nothing of the file itself survives: no place where it was taken, no script behind its end.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Rgb, RgbImage};

/// What a picture is made to fit into.
const SIZE: (u32, u32) = (1280, 720);
/// The longest side that is looked at.
const LONGEST: u32 = 16_384;
/// The most pixels that are looked at: those of a good camera.
const PIXELS: u64 = 32_000_000;
/// What a picture may take in memory as it is read.
const MEMORY: u64 = 160 * 1024 * 1024;
/// Of JPEG, out of 100.
const QUALITY: u8 = 85;

/// A picture cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is none, or of another kind, or broken.
    #[error("it is not a PNG, JPEG or WebP that can be read")]
    NoPicture,
    /// It has too many pixels.
    #[error("the picture has too many pixels")]
    TooLarge,
}

impl From<ImageError> for Unreadable {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            _ => Self::NoPicture,
        }
    }
}

/// The same picture as a JPEG of ours, no larger than [`SIZE`]. What kind it is of its bytes say, and how large it is its
/// head says before anything is unpacked.
pub(super) fn repaint(sent: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let format = image::guess_format(sent)?;
    if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP) {
        return Err(Unreadable::NoPicture);
    }
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LONGEST), Some(LONGEST));
    limits.max_alloc = Some(MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(sent), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS || decoder.total_bytes() > MEMORY {
        return Err(Unreadable::TooLarge);
    }
    // How the camera was held stands in what is left out.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder)?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&opaque(&fitted(picture, orientation)))?;
    Ok(jpeg)
}

/// No larger than [`SIZE`], and upright.
fn fitted(mut picture: DynamicImage, orientation: Orientation) -> DynamicImage {
    let lies = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let (width, height) = if lies { (SIZE.1, SIZE.0) } else { SIZE };
    if picture.width() > width || picture.height() > height {
        picture = picture.thumbnail(width, height);
    }
    picture.apply_orientation(orientation);
    picture
}

/// On white, where one can see through it.
fn opaque(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let picture = picture.to_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0.map(u32::from);
        let on_white =
            |colour: u32| u8::try_from((colour * alpha + 255 * (255 - alpha)) / 255).unwrap_or(255);
        Rgb([on_white(red), on_white(green), on_white(blue)])
    })
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};

    use super::*;

    const KINDS: [ImageFormat; 3] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];

    fn picture(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
        let drawn = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]));
        let mut bytes = Vec::new();
        drawn.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn size(jpeg: &[u8]) -> (u32, u32) {
        assert_eq!(image::guess_format(jpeg).unwrap(), ImageFormat::Jpeg);
        let read = image::load_from_memory(jpeg).unwrap();
        (read.width(), read.height())
    }

    /// The bytes with `new` in place of what is `at`.
    fn patched(mut bytes: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    }

    fn crc(bytes: &[u8]) -> [u8; 4] {
        let shift = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        let step = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), shift);
        (!bytes.iter().fold(!0, step)).to_be_bytes()
    }

    /// A few bytes that say they are of a picture of a thousand million pixels or so.
    fn bombs() -> [Vec<u8>; 3] {
        let png = patched(picture(ImageFormat::Png, 8, 8), 16, &[0, 0, 255, 255, 0, 0, 255, 255]);
        let sum = crc(&png[12..29]);
        let jpeg = picture(ImageFormat::Jpeg, 8, 8);
        let frame = jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
        let webp = picture(ImageFormat::WebP, 8, 8);
        let head = webp.windows(4).position(|name| name == b"VP8L").unwrap() + 9;
        // Fourteen bits for each side less one, and four others.
        let others = u32::from_le_bytes(webp[head..head + 4].try_into().unwrap()) & 0xF000_0000;
        let sides = others | 0x3FFE | (0x3FFE << 14);
        [
            patched(png, 29, &sum),
            patched(jpeg, frame + 5, &[255, 255, 255, 255]),
            patched(webp, head, &sides.to_le_bytes()),
        ]
    }

    #[test]
    fn each_kind_becomes_a_jpeg_that_fits() {
        for format in KINDS {
            assert_eq!(
                size(&repaint(&picture(format, 64, 36)).unwrap()),
                (64, 36),
                "{format:?} is not blown up"
            );
            assert_eq!(size(&repaint(&picture(format, 1440, 810)).unwrap()), (1280, 720), "{format:?}");
            assert_eq!(size(&repaint(&picture(format, 300, 1440)).unwrap()), (150, 720), "{format:?}");
        }
    }

    #[test]
    fn what_says_that_it_is_enormous_is_not_unpacked() {
        for (bomb, format) in bombs().iter().zip(KINDS) {
            assert!(bomb.len() < 1000);
            assert_eq!(repaint(bomb), Err(Unreadable::TooLarge), "{format:?}");
        }
        let wide = picture(ImageFormat::Png, LONGEST + 1, 1);
        assert_eq!(repaint(&wide), Err(Unreadable::TooLarge));
    }

    #[test]
    fn what_is_no_picture_is_refused_whatever_it_is_called() {
        let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
        let html = b"<!doctype html><script>alert(1)</script>";
        let disguised = [b"\x89PNG\r\n\x1a\n".as_slice(), html].concat();
        let gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xFF\xFF\xFF!\xF9\x04\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
        let broken = [&picture(ImageFormat::Jpeg, 64, 64)[..4], html.as_slice()].concat();
        for sent in
            [b"".as_slice(), b"x", svg, html, &disguised, gif, &broken, b"RIFF\x04\x00\x00\x00WEBP", b"BM"]
        {
            assert_eq!(repaint(sent), Err(Unreadable::NoPicture), "{:?}", String::from_utf8_lossy(sent));
        }
    }

    /// Some decoders make the best of what is there.
    #[test]
    fn what_is_cut_off_or_mangled_is_refused_or_becomes_a_picture_of_ours() {
        for format in KINDS {
            let whole = picture(format, 40, 40);
            let cuts = (0..whole.len()).step_by(7).map(|length| whole[..length].to_vec());
            let mangled = (0..whole.len()).step_by(11).map(|at| patched(whole.clone(), at, &[0xFF]));
            for sent in cuts.chain(mangled) {
                if let Ok(jpeg) = repaint(&sent) {
                    let (width, height) = size(&jpeg);
                    assert!(width <= SIZE.0 && height <= SIZE.1);
                }
            }
        }
        assert_eq!(repaint(&picture(ImageFormat::Png, 40, 40)[..200]), Err(Unreadable::NoPicture));
    }

    #[test]
    fn nothing_that_was_hidden_in_it_survives() {
        let secret = b"<script>alert('48.2082 N')</script>";
        for format in KINDS {
            let sent = [&picture(format, 40, 40)[..], secret].concat();
            let jpeg = repaint(&sent).unwrap();
            assert!(!jpeg.windows(7).any(|part| part == b"<script"), "{format:?}");
        }
        let whole = picture(ImageFormat::Jpeg, 40, 40);
        let length = u16::try_from(secret.len() + 2).unwrap().to_be_bytes();
        let comment = [&whole[..2], &[0xFF, 0xFE], &length, secret, &whole[2..]].concat();
        let jpeg = repaint(&comment).unwrap();
        assert!(!jpeg.windows(7).any(|part| part == b"<script"));
    }

    #[test]
    fn a_photograph_is_turned_upright_and_glass_lies_on_white() {
        // An Exif segment that says: turn it by a quarter to the right.
        let turn = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let length = u16::try_from(turn.len() + 2).unwrap().to_be_bytes();
        let whole = picture(ImageFormat::Jpeg, 1600, 200);
        let held = [&whole[..2], &[0xFF, 0xE1], &length, turn, &whole[2..]].concat();
        assert_eq!(size(&repaint(&held).unwrap()), (90, 720));
        let glass = RgbaImage::from_pixel(8, 8, Rgba([0, 0, 0, 0]));
        let mut sent = Vec::new();
        glass.write_to(&mut Cursor::new(&mut sent), ImageFormat::Png).unwrap();
        let read = image::load_from_memory(&repaint(&sent).unwrap()).unwrap().to_rgb8();
        assert_eq!(read.get_pixel(4, 4).0, [255; 3]);
    }
}
