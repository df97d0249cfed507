#include <libpq-fe.h>
#include <pg_config.h>
#include <stdio.h>

#define MAJOR (PG_VERSION_NUM / 10000)

int main(void) {
    int version = PQlibVersion();
    printf("compiled for libpq %d, runs with %d\n", MAJOR, version / 10000);
    return MAJOR == version / 10000 ? 0 : 1;
}
