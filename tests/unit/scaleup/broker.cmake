mec_unit_test(test_arbiter LIBS scale_broker)
mec_unit_test(test_broker SOURCES broker_kit.c LIBS scale_broker scale_book)
