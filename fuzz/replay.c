/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over the files of a directory, without a fuzzer.
 *
 * So every compiler can repeat what the fuzzer found: the corpora are part of the C tests.
 */
#include <dirent.h>

#define FUZZ_REPLAY
#include "fuzz.h"

bool fuzz_thorough = true;

/* One file; longer ones than the room for them are an error, so that none is cut off. */
static void replay(const char *directory, const char *name) {
    static uint8_t input[1 << 20];
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/%s", directory, name);
    REQUIRE(len > 0 && (size_t)len < sizeof(path));
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size_t size = fread(input, 1, sizeof(input), file);
    REQUIRE(!ferror(file) && size < sizeof(input));
    fclose(file);
    LLVMFuzzerTestOneInput(input, size);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    DIR *directory = opendir(argv[1]);
    if (directory == NULL) {
        perror(argv[1]);
        return 1;
    }
    unsigned files = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] != '.') {
            replay(argv[1], entry->d_name);
            files++;
        }
    }
    closedir(directory);
    printf("%u files\n", files);
    return files == 0;
}
