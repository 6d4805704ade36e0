// Reads tasks, a JSON array of strings, and reminds of each when its time has come. Knows nothing of Everstep.

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static void pause_for(time_t seconds, long milliseconds) {
    struct timespec duration = {.tv_sec = seconds, .tv_nsec = milliseconds * 1000000L};
    nanosleep(&duration, NULL);
}

static void random_id(char text[17]) {
    unsigned char bytes[8];
    getentropy(bytes, sizeof bytes);
    for (int at = 0; at < 8; at++) sprintf(text + 2 * at, "%02x", bytes[at]);
}

int main(void) {
    static char input[4096];
    size_t length = fread(input, 1, sizeof input - 1, stdin);
    input[length] = 0;

    time_t started = time(NULL);
    const char *separator = "";
    printf("[");
    // Every other quote ends a task: enough of JSON for tasks without quotes in them.
    char *rest = input;
    for (strsep(&rest, "\""); rest != NULL; strsep(&rest, "\"")) {
        const char *task = strsep(&rest, "\"");
        char id[17];
        random_id(id);
        pause_for(0, 200);
        pause_for(1, 0);

        time_t now = time(NULL);
        fprintf(stderr, "reminder %s: %s\n", id, task);
        printf("%s{\"id\":\"%s\",\"task\":\"%s\",\"after\":%lld}", separator, id, task, (long long)(now - started));
        separator = ",";
    }
    printf("]\n");
    return 0;
}
