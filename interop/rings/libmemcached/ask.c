/* Reads keys, a line each, and prints the value that libmemcached gets for each. The
 * arguments are host, port and weight of each server. BEHAVIOR is what the ring is. */
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  memcached_st *m = memcached_create(NULL);
  memcached_behavior_set(m, BEHAVIOR, 1);
  memcached_behavior_set(m, MEMCACHED_BEHAVIOR_AUTO_EJECT_HOSTS, 1);
  memcached_behavior_set(m, MEMCACHED_BEHAVIOR_SERVER_FAILURE_LIMIT, 1);
  memcached_behavior_set(m, MEMCACHED_BEHAVIOR_RETRY_TIMEOUT, 10000);
  for (int i = 1; i + 2 < argc; i += 3) {
    memcached_server_add_with_weight(m, argv[i], atoi(argv[i + 1]), atoi(argv[i + 2]));
  }
  char key[1000];
  while (fgets(key, sizeof key, stdin)) {
    key[strcspn(key, "\n")] = 0;
    memcached_return_t rc = MEMCACHED_FAILURE;
    for (int try = 0; try < 20 && rc != MEMCACHED_SUCCESS; try++) {
      size_t n;
      uint32_t flags;
      char *value = memcached_get(m, key, strlen(key), &n, &flags, &rc);
      if (rc == MEMCACHED_SUCCESS) printf("%.*s\n", (int)n, value);
      free(value);
    }
    if (rc != MEMCACHED_SUCCESS) printf("%s\n", memcached_strerror(m, rc));
    fflush(stdout);
  }
  memcached_free(m);
  return 0;
}
