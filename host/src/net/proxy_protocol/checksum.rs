//! CRC-32C, which a head of version 2 may carry.

/// Castagnoli's polynomial, its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Of these bytes. Bit by bit: it is a head's few bytes, once for a connection.
pub(super) fn crc32c(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let by_bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    !bytes.into_iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), by_bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_rfc_3720() {
        for (bytes, sum) in [
            (vec![0; 32], 0x8a91_36aa),
            (vec![0xff; 32], 0x62a8_ab43),
            ((0..32).collect(), 0x46dd_794e),
            (b"123456789".to_vec(), 0xe306_9283),
        ] {
            assert_eq!(crc32c(bytes), sum);
        }
    }
}
