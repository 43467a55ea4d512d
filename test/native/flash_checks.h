/* Checksums and reads of the flash library, without TypeScript. */
#pragma once
#include "../../firmware-bridge/flash/pocketmoe_flash.h"
#include "check.h"
#include "span.h"

#include <unistd.h>

#include <memory>

/* A file of pseudo-random bytes, deleted with the object. */
class RandomFile {
public:
  explicit RandomFile(size_t size) : bytes(size) {
    const char *folder = getenv("TMPDIR");
    path = std::string(folder && *folder ? folder : "/tmp") + "/pocketmoe-flash-XXXXXX";
    uint32_t state = 1;
    for (uint8_t &b : bytes) b = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
    const int fd = mkstemp(path.data());
    if (fd < 0) throw std::runtime_error("no temporary file in " + path);
    const bool written = write(fd, bytes.data(), size) == (ssize_t)size && fsync(fd) == 0;
    close(fd);
    if (!written) throw std::runtime_error("cannot write " + path);
  }
  RandomFile(const RandomFile &) = delete;
  RandomFile &operator=(const RandomFile &) = delete;
  ~RandomFile() { unlink(path.c_str()); }

  Bytes bytes;
  std::string path;
};

class FlashChecks {
public:
  static std::vector<Check> all() {
    return {
        {"crc32c of known texts", known_checksums},
        {"crc32c at every length and alignment, in pieces", checksums_in_pieces},
        {"flash reads, direct", [] { return reads(1); }},
        {"flash reads, buffered", [] { return reads(0); }},
        {"flash reads that fail", failing_reads},
    };
  }

private:
  /* RFC 3720, B.4, and the check value of the catalogue of parametrised CRC algorithms. */
  static std::string known_checksums() {
    uint8_t rising[32], falling[32], zeros[32] = {}, ones[32];
    for (int i = 0; i < 32; i++) {
      rising[i] = (uint8_t)i;
      falling[i] = (uint8_t)(31 - i);
      ones[i] = 0xff;
    }
    const uint8_t read_command[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0,    0,    0, 0, 4, 0,
                                      0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0};
    const struct {
      const void *bytes;
      size_t length;
      uint32_t crc;
    } known[] = {
        {"", 0, 0},           {"123456789", 9, 0xe3069283},  {zeros, 32, 0x8a9136aa},        {ones, 32, 0x62a8ab43},
        {rising, 32, 0x46dd794e}, {falling, 32, 0x113fdb5c}, {read_command, 48, 0xd9963a56},
    };
    for (const auto &k : known)
      if (pm_crc32c(0, k.bytes, k.length) != k.crc)
        return "text " + std::to_string(&k - known) + " has another checksum";
    return "";
  }

  /* Bit by bit, from the polynomial. */
  static uint32_t checksum(uint32_t crc, const uint8_t *p, size_t n) {
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
      crc ^= p[i];
      for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
  }

  static std::string checksums_in_pieces() {
    Bytes bytes(5000);
    uint32_t state = 7;
    for (uint8_t &b : bytes) b = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
    const Span span(bytes, 0);
    for (size_t length = 0; length < 300; length++)
      for (size_t from = 0; from < 9; from++)
        if (pm_crc32c(5, span.data() + from, length) != checksum(5, span.data() + from, length))
          return std::to_string(length) + " bytes from " + std::to_string(from);
    const uint32_t whole = checksum(0, span.data(), span.size());
    for (size_t cut = 0; cut <= span.size(); cut += 333)
      if (pm_crc32c(pm_crc32c(0, span.data(), cut), span.data() + cut, span.size() - cut) != whole)
        return "cut at " + std::to_string(cut);
    return "";
  }

  /* A lane's worth of state around one open file. */
  struct Lanes {
    explicit Lanes(const RandomFile &file, int32_t direct) : flash(pm_flash_create(3, PM_FLASH_PREAD)) {
      if (!flash) throw std::runtime_error("no lanes");
      id = pm_flash_open(flash, file.path.c_str(), direct);
      if (id < 0) throw std::runtime_error("the file does not open: " + std::to_string(id));
    }
    Lanes(const Lanes &) = delete;
    Lanes &operator=(const Lanes &) = delete;
    ~Lanes() { pm_flash_destroy(flash); }
    pm_flash *flash;
    int32_t id;
  };

  /* Aligned memory of whole blocks. */
  struct Blocks {
    explicit Blocks(size_t size) {
      if (posix_memalign(&p, 4096, size) != 0) throw std::runtime_error("no memory");
      memset(p, 0, size);
    }
    Blocks(const Blocks &) = delete;
    Blocks &operator=(const Blocks &) = delete;
    ~Blocks() { free(p); }
    uint8_t *data() const { return (uint8_t *)p; }
    void *p = nullptr;
  };

  static pm_flash_read read_of(const RandomFile &file, int32_t id, size_t from, size_t length, Blocks &to,
                               const int32_t &state) {
    const size_t start = from & ~(size_t)4095, end = (from + length + 4095) & ~(size_t)4095;
    pm_flash_read read = {};
    read.dst = (uint64_t)(uintptr_t)to.data();
    read.offset = (int64_t)start;
    read.length = (int64_t)(end - start);
    read.data_offset = (int64_t)(from - start);
    read.data_length = (int64_t)length;
    read.state = (uint64_t)(uintptr_t)&state;
    read.file = id;
    read.crc = checksum(0, file.bytes.data() + from, length);
    read.check = 1;
    return read;
  }

  static std::string reads(int32_t direct) {
    const RandomFile file(200123);
    const Lanes lanes(file, direct);
    const size_t ranges[][2] = {{0, 4096}, {0, 1}, {4096, 8192}, {5000, 70000}, {12345, 1}, {196608, 3515}, {0, 200123}};
    constexpr size_t COUNT = sizeof ranges / sizeof *ranges;
    std::vector<std::unique_ptr<Blocks>> places;
    int32_t states[COUNT] = {};
    std::vector<pm_flash_read> queue;
    for (size_t r = 0; r < COUNT; r++) {
      const size_t from = ranges[r][0] & ~(size_t)4095;
      places.push_back(std::make_unique<Blocks>((ranges[r][0] + ranges[r][1] - from + 4095) & ~(size_t)4095));
      queue.push_back(read_of(file, lanes.id, ranges[r][0], ranges[r][1], *places[r], states[r]));
    }
    if (pm_flash_submit(lanes.flash, queue.data(), (int32_t)COUNT) != 0) return "the reads are refused";
    for (size_t r = 0; r < COUNT; r++) {
      const int32_t state = pm_flash_wait(&states[r], 20000);
      if (state != 1) return "read " + std::to_string(r) + " ended with " + std::to_string(state);
      if (memcmp(places[r]->data() + queue[r].data_offset, file.bytes.data() + ranges[r][0], ranges[r][1]) != 0)
        return "read " + std::to_string(r) + " brought other bytes";
    }
    pm_flash_stats stats;
    pm_flash_get_stats(lanes.flash, &stats);
    if (stats.reads != (int64_t)COUNT || stats.failed + stats.cancelled + stats.corrupt != 0) return "other counts";
    return "";
  }

  static std::string failing_reads() {
    const RandomFile file(20000);
    const Lanes lanes(file, 0);
    Blocks a(8192), b(8192), c(8192);
    int32_t states[3] = {};
    pm_flash_read queue[3] = {
        read_of(file, lanes.id, 0, 5000, a, states[0]),
        read_of(file, lanes.id, 16384, 3000, b, states[1]),
        read_of(file, lanes.id, 4096, 8192, c, states[2]),
    };
    queue[0].crc ^= 1u << 17;
    queue[1].data_length = 4000; /* past the end of the file */
    if (pm_flash_submit(lanes.flash, queue, 3) != 0) return "the reads are refused";
    const int32_t wanted[3] = {PM_FLASH_CORRUPT, PM_FLASH_SHORT, 1};
    for (int r = 0; r < 3; r++) {
      const int32_t state = pm_flash_wait(&states[r], 20000);
      if (state != wanted[r]) return "read " + std::to_string(r) + " ended with " + std::to_string(state);
    }
    queue[1].file = 99;
    if (pm_flash_submit(lanes.flash, queue, 2) != 2) return "a file that is not open is accepted";
    if (pm_flash_open(lanes.flash, "/nowhere/at/all", 0) != -2) return "a missing file is opened";
    return "";
  }
};
