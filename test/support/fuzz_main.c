/*
 * A fuzz target without a fuzzer: runs it once over every file named, and over the files of
 * every folder named.  With HOOKWHEEL_FUZZ libFuzzer's own main takes its place.
 */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned n_files;

static void run_file(const char *path)
{
    enum { FILE_MAX = 1024 * 1024 };
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(FILE_MAX);
    uint8_t *exact;
    size_t n;

    if (file == NULL || bytes == NULL) {
        perror(path);
        exit(1);
    }
    n = fread(bytes, 1, FILE_MAX, file);
    exact = realloc(bytes, n ? n : 1); /* so that reading past it is seen */
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    fclose(file);
    n_files++;
}

static void run_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    char file[PATH_MAX];

    if (folder == NULL) {
        perror(path);
        exit(1);
    }
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        run_file(file);
    }
    closedir(folder);
}

int main(int argc, char **argv)
{
    struct stat info;

    for (int i = 1; i < argc; i++) {
        if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode))
            run_folder(argv[i]);
        else
            run_file(argv[i]);
    }
    printf("%u files\n", n_files);
    return n_files > 0 ? 0 : 1;
}
